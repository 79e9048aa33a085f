"""A search in stages: where one begins, the supernet has another shape, optimizers forget, and a killed run goes on all the same."""

import pytest
import torch
from lightning.pytorch import Callback, Trainer
from torch import nn

import every_searcher
from robnas.data.digits import Digits
from robnas.errors import UserError
from robnas.search.base import Stage
from robnas.search.darts import DARTS
from robnas.space.search_space import Space
from small_supernet import SmallSearch

SPACE = Space(operations=("zero", "skip_connect", "sep_conv_3x3"), nodes=2)
QUIET = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}


class Grows(DARTS):
    """Two epochs a stage, three layers more in the second one, in which all channels are mixed."""

    def __init__(self, fresh=True):
        super().__init__()
        self.fresh, self.begun = fresh, []

    def stage(self, epoch, max_epochs):
        number = epoch // 2
        return Stage(number, first=2 * number, epochs=2, layers=3 * number, partial=2 - number, fresh=self.fresh)

    def epoch_start(self, epoch, max_epochs):
        self.begun.append(epoch)


class Growing(SmallSearch):
    """Keeps what stands at the first batch of every epoch."""

    def build_supernet(self, num_classes, in_channels):
        network = super().build_supernet(num_classes, in_channels)
        network.drop.p = 0.1 * self.stage.partial
        if self.stage.layers:
            network.deeper = nn.Linear(1, self.stage.layers)
        return network

    def on_train_batch_start(self, batch, batch_idx):
        super().on_train_batch_start(batch, batch_idx)
        if batch_idx == 0:
            weights, alpha = (o.optimizer for o in self.optimizers())
            now = {"lr": weights.param_groups[0]["lr"], "known": (len(weights.state), len(alpha.state)), "warm": self._warm}
            self.seen = [*getattr(self, "seen", []), now | {"weights": self.network.stem.weight.detach().clone()}]


def search(fresh=True, **arguments):
    return Growing(Grows(fresh), **{"space": SPACE, "architecture_learning_rate": 0.1, "seed": 3} | arguments)


def trainer(folder, epochs=4, **arguments):
    return Trainer(default_root_dir=str(folder), accelerator="cpu", max_epochs=epochs, num_sanity_val_steps=0, **QUIET | arguments)


def digits():
    return Digits(batch_size=230, seed=0)  # 718 images a half: 3 batches


@pytest.fixture(autouse=True)
def without_pictures(monkeypatch):
    monkeypatch.setattr("robnas.tasks.chronicle.draw_search", lambda *arguments: [])


def test_a_stage_begins_with_a_supernet_of_its_own_and_optimizers_that_know_nothing(tmp_path):
    task = search(learning_rate=0.3, learning_rate_min=0.1, architecture_warmup=1)
    trainer(tmp_path).fit(task, digits())
    assert task.network.deeper.weight.shape == (3, 1)
    assert task.network.drop.p == 0.1
    assert task.searcher.begun == [0, 1, 2, 3]
    assert [now["lr"] for now in task.seen] == pytest.approx([0.3, 0.2, 0.3, 0.2])  # a cosine in each stage
    assert [now["warm"] for now in task.seen] == [False, True, False, True]
    known = [now["known"] for now in task.seen]
    assert known[0] == known[2] == (0, 0)
    assert known[1][0] > 0
    assert known[3][0] == known[1][0] + 2  # `deeper` has two weights
    assert not torch.equal(task.seen[0]["weights"], task.seen[2]["weights"])


def test_weights_are_fresh_or_carried_over(tmp_path, monkeypatch):
    carried = []
    monkeypatch.setattr("robnas.space.widen.carry", lambda old, new: carried.append((old, new)))
    trainer(tmp_path).fit(search(), digits())
    assert not carried
    task = search(fresh=False)
    trainer(tmp_path).fit(task, digits())
    ((old, new),) = carried
    assert new is task.network is not old
    assert not hasattr(old, "deeper")


def test_in_double_precision_every_stage_is(tmp_path):
    task = search()
    trainer(tmp_path, 3, precision="64-true").fit(task, digits())
    assert {p.dtype for p in task.parameters()} == {torch.float64}


def test_a_search_without_stages_has_one(tmp_path):
    task = SmallSearch(DARTS(), SPACE, seed=3)
    trainer(tmp_path).fit(task, digits())
    assert task.stage == Stage(epochs=4)


def test_warm_up_has_to_leave_something_of_every_stage(tmp_path):
    with pytest.raises(
        UserError,
        match=r"architecture_warmup: 2 of the 2 epochs of a stage leave none .*; trainer.max_epochs of at least 6 is needed, or a smaller ",
    ):
        trainer(tmp_path).fit(search(architecture_warmup=2), digits())


class Shapes(DARTS):
    """A stage an epoch, with the K that it is given."""

    def __init__(self, partial=(1,), fresh=True):
        super().__init__()
        self.partial, self.fresh = partial, fresh

    def stage(self, epoch, max_epochs):
        return Stage(epoch, first=epoch, epochs=1, partial=self.partial[epoch], fresh=self.fresh)


@pytest.mark.parametrize(
    ("partial", "fresh", "says"),
    [
        ((4, 3), False, r"^init_channels: 16 channels have no 1/3 to mix \(partial of stage 1\); allowed: multiples of 3$"),
        ((2, 4), False, "^partial: 4 of stage 1 after 2 would lose the weights taken over"),
        ((2, 0), True, r"^partial: 0 of stage 1 is below 1$"),
    ],
)
def test_what_a_later_stage_cannot_build_is_refused_before_the_first_begins(tmp_path, partial, fresh, says):
    task = SmallSearch(Shapes(partial, fresh), SPACE, seed=3)
    with pytest.raises(UserError, match=says):
        trainer(tmp_path, 2).fit(task, digits())
    assert task.network is None


def test_fresh_weights_may_be_of_any_k(tmp_path):
    task = SmallSearch(Shapes((2, 4)), SPACE, seed=3)
    trainer(tmp_path, 2, limit_train_batches=1).fit(task, digits())
    assert task.stage.partial == 4


@pytest.mark.parametrize(
    ("name", "epochs", "arguments", "says"),
    [
        (
            "sgas",
            3,
            {"searcher": {"warmup": 3}},
            "^warmup: 3 of 3 epochs leave none for a decision; .* at least 4 is needed, or a smaller --model.searcher.warmup$",
        ),
        ("pdarts", 2, {}, r"^trainer\.max_epochs: 2 epochs leave out some of 3 stages"),
        ("drnas", 1, {}, r"^trainer\.max_epochs: 1 epochs leave out some of 2 stages"),
        ("drnas", 2, {"searcher": {"partial": (6, 4)}, "init_channels": 6}, "^init_channels: 6 channels have no 1/4 to mix"),
        ("drnas", 2, {"searcher": {"partial": (1, 2)}}, "^partial: 2 of stage 1 after 1 would lose the weights"),
        ("pc_darts", 1, {"init_channels": 5}, "^init_channels: 5 channels have no 1/2 to mix"),
    ],
)
def test_searchers_refuse_what_would_be_ignored_or_break_off_later(tmp_path, name, epochs, arguments, says):
    with pytest.raises(UserError, match=says) as error:
        trainer(tmp_path, epochs).fit(every_searcher.task(name, **arguments), digits())
    assert "\n" not in str(error.value)


# Killed


class KilledError(Exception):
    pass


class SaveAndKill(Callback):
    """After so many batches; at the epoch's end if they are its last, unless at once."""

    def __init__(self, step, path, at_once):
        self.step, self.path, self.at_once = step, path, at_once

    def on_train_batch_end(self, trainer, task, *_):
        if self.at_once:
            self.kill(trainer)

    def on_train_epoch_end(self, trainer, task):
        self.kill(trainer)

    def kill(self, trainer):
        if trainer.global_step == self.step:
            trainer.save_checkpoint(self.path)
            raise KilledError


def equal(a, b):
    ours, theirs = a.state_dict(), b.state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(value, theirs[name]) for name, value in ours.items())


@pytest.mark.parametrize(
    ("killed_at", "at_once", "fresh"),
    # In mid-epoch of the first stage; at the border, before and after the epoch's end; at the first batch behind it; at an epoch's end
    [(5, True, True), (6, True, True), (6, True, False), (6, False, True), (6, False, False), (7, True, True), (9, False, True)],
)
def test_a_search_killed_anywhere_goes_on_bit_for_bit(tmp_path, monkeypatch, killed_at, at_once, fresh):
    def carry(old, new):
        new.load_state_dict(old.state_dict(), strict=False)

    monkeypatch.setattr("robnas.space.widen.carry", carry)
    whole = search(fresh, n_step=2, order="second")
    trainer(tmp_path).fit(whole, digits())
    t = trainer(tmp_path, callbacks=[SaveAndKill(killed_at, tmp_path / "a.ckpt", at_once)])
    with pytest.raises(KilledError):
        t.fit(search(fresh, n_step=2, order="second"), digits())
    resumed, t = search(fresh, n_step=2, order="second"), trainer(tmp_path)
    t.fit(resumed, digits(), ckpt_path=str(tmp_path / "a.ckpt"), weights_only=True)
    assert t.global_step == 12
    assert equal(resumed, whole)
    assert resumed.stage == whole.stage


def test_a_checkpoint_alone_brings_back_the_supernet_of_its_stage(tmp_path):
    task, t = search(), trainer(tmp_path, 3)
    t.fit(task, digits())
    t.save_checkpoint(tmp_path / "a.ckpt")
    again = Growing.load_from_checkpoint(tmp_path / "a.ckpt", weights_only=True)
    assert equal(again, task)
    assert again.stage.layers == 3
    other = search()
    trainer(tmp_path, 3).validate(other, digits(), ckpt_path=str(tmp_path / "a.ckpt"), weights_only=True, verbose=False)
    assert equal(other, task)
