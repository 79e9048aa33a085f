"""The search task under a Trainer: what it counts, writes, refuses and remembers."""

import re
import shutil

import pytest
import torch
import yaml
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.loggers import CSVLogger

from robnas.data.digits import Digits
from robnas.errors import UserError
from robnas.runtime.checkpoints import Checkpoints
from robnas.runtime.progress import Bars
from robnas.search.darts import DARTS
from robnas.space.genotype import Genotype
from robnas.space.search_space import Space
from robnas.tasks import bilevel
from robnas.tasks.chronicle import Chronicle, next_command
from robnas.tasks.search import Search
from robnas.tasks.supernet_task import cosine
from small_supernet import SmallSearch

SPACE = Space(operations=("zero", "skip_connect", "sep_conv_3x3"), nodes=2)


def search(kind=SmallSearch, searcher=None, **arguments):
    return kind(searcher or DARTS(), **{"space": SPACE, "architecture_learning_rate": 0.1, "seed": 3} | arguments)


def trainer(folder, **arguments):
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}
    return Trainer(default_root_dir=str(folder), accelerator="cpu", **{"max_epochs": 2, "num_sanity_val_steps": 0} | quiet | arguments)


def digits(batch_size=100):  # 718 images a half: 7 batches
    return Digits(batch_size=batch_size, seed=0)


@pytest.fixture(autouse=True)
def without_pictures(monkeypatch):
    """They take longer than everything else here."""
    monkeypatch.setattr("robnas.tasks.chronicle.draw_search", lambda *arguments: [])


@pytest.fixture
def calls(monkeypatch):
    """How often each gradient of α was asked for."""
    counts = {}
    for name in ("first_order", "second_order"):
        real = getattr(bilevel, name)

        def counted(*arguments, name=name, real=real):
            counts[name] = counts.get(name, 0) + 1
            return real(*arguments)

        monkeypatch.setattr(bilevel, name, counted)
    return counts


@pytest.mark.parametrize(
    ("n_step", "warmup", "steps"),
    [(1, 0, 14), (5, 0, 3), (14, 0, 1), (1, 1, 7), (3, 1, 2)],  # 14 batches: 0, 5, 10; from 7 on: 9, 12
)
def test_one_architecture_step_before_every_n_step_th_weight_step(tmp_path, calls, n_step, warmup, steps):
    task, t = search(n_step=n_step, architecture_warmup=warmup), trainer(tmp_path)
    t.fit(task, digits())
    assert calls == {"first_order": steps}
    assert t.global_step == 14


def test_alpha_stands_still_in_warm_up_and_weights_do_not(tmp_path):
    task = search(architecture_warmup=1)
    t = trainer(tmp_path, limit_train_batches=1.0, max_epochs=2, max_steps=7)
    t.fit(task, digits())
    fresh = search()
    fresh._build(task.data, task.stage)
    for (name, now), start in zip(task.named_parameters(), fresh.parameters(), strict=True):
        assert torch.equal(now, start) == name.startswith("searcher."), name


def test_what_a_search_leaves_behind(tmp_path, capsys, monkeypatch):
    monkeypatch.undo()  # with pictures
    folder = tmp_path / "run"
    task = search()
    t = trainer(folder, logger=CSVLogger(folder, name="", version=""), log_every_n_steps=5)
    t.fit(task, digits())
    genotype = Genotype.from_yaml((folder / "genotype.yaml").read_text())
    assert genotype == task.searcher.derive()
    assert all((folder / "figures" / f"{name}.{kind}").stat().st_size > 1000 for name in ("cells", "alpha") for kind in ("svg", "png"))
    assert capsys.readouterr().out.splitlines()[-1] == f"next: {next_command(str(folder), 'Digits')}"
    header, *rows = (folder / "metrics.csv").read_text().splitlines()
    for name in ("train/loss", "train/accuracy", "valid/loss", "valid/accuracy", "normal/entropy", "normal/skips", "reduce/depth"):
        assert name in header.split(",")
    assert {"normal/weight/skip_connect", "reduce/weight/zero", "normal/width"} < set(header.split(","))
    assert len(rows) >= 2


def test_the_next_command_is_one_line_beside_a_progress_bar_too(tmp_path, capfd, monkeypatch):
    for name, value in {"COLUMNS": "40", "FORCE_COLOR": "1"}.items():  # a narrow terminal
        monkeypatch.setenv(name, value)
    folder = tmp_path / ("long" * 20)
    trainer(folder, max_epochs=1, enable_progress_bar=True, callbacks=[Bars()]).fit(search(), digits())
    said = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", capfd.readouterr().out)
    assert f"next: {next_command(str(folder), 'Digits')}" in said.splitlines()


def test_the_next_command_is_for_the_same_data_and_survives_a_shell():
    assert next_command("runs/a/latest", "CIFAR10") == "robnas fit --config classify.yaml --model.network=runs/a/latest"
    assert next_command("my runs/a", "Digits") == "robnas fit --config classify.yaml --config digits.yaml --model.network='my runs/a'"


def test_alpha_moves_on_the_second_half_and_weights_on_the_first(tmp_path):
    """Halves are disjoint, and which of them a gradient saw can be told by the indices."""
    seen = {"train": set(), "valid": set()}

    class Watched(SmallSearch):
        def training_step(self, batch, batch_idx):
            for half, b in batch.items():
                seen[half].update(b.index.tolist())
            return super().training_step(batch, batch_idx)

    trainer(tmp_path).fit(search(Watched), digits())
    assert not seen["train"] & seen["valid"]
    assert len(seen["train"]) > 700 < len(seen["valid"])


@pytest.mark.parametrize("order", ["first", "second", "exact"])
def test_only_weight_steps_move_the_running_statistics(tmp_path, order):
    task = search(order=order)
    trainer(tmp_path, max_epochs=1).fit(task, digits())
    assert int(task.network.norm.num_batches_tracked) == 7


@pytest.mark.parametrize(("order", "inside"), [("first", True), ("second", False), ("exact", False)])
def test_bf16_but_never_in_a_finite_difference(tmp_path, order, inside):
    autocast = []

    class Watched(SmallSearch):
        def _architecture_step(self, *arguments):
            self.watch = True
            super()._architecture_step(*arguments)
            self.watch = False

        def _logits(self, x, mixture):
            if getattr(self, "watch", False):
                autocast.append(torch.is_autocast_enabled("cpu"))
            return super()._logits(x, mixture)

    task = search(Watched, order=order)
    trainer(tmp_path, precision="bf16-mixed", max_epochs=1).fit(task, digits())
    assert set(autocast) == {inside}
    assert task.searcher.alpha["normal"].dtype == torch.float32


def test_double_precision_is_double_throughout(tmp_path):
    task = search(order="second")
    trainer(tmp_path, precision="64-true", max_epochs=1).fit(task, digits())
    assert {p.dtype for p in task.parameters()} == {torch.float64}


def test_orders_differ_and_repeat(tmp_path):
    found = {}
    for order in ("first", "second", "exact", "first"):
        task = search(order=order)
        trainer(tmp_path, max_epochs=1).fit(task, digits())
        alpha = task.searcher.alpha["normal"].detach().clone()
        if order in found:
            assert torch.equal(found[order], alpha)
        found[order] = alpha
    assert not torch.equal(found["first"], found["exact"])
    assert not torch.equal(found["second"], found["exact"])


# Resume


class KilledError(Exception):
    pass


class SaveAndKill(Callback):
    def __init__(self, step, path):
        self.step, self.path = step, path

    def on_train_batch_end(self, trainer, task, *_):
        if trainer.global_step == self.step:
            trainer.save_checkpoint(self.path)
            raise KilledError


@pytest.mark.parametrize(
    ("kind", "killed_at"),  # in mid-epoch, and right after the last batch of an epoch
    [(SmallSearch, 10), (SmallSearch, 14), pytest.param(Search, 10, marks=pytest.mark.slow)],
)
def test_a_killed_search_goes_on_bit_for_bit(tmp_path, kind, killed_at):
    arguments = {"kind": kind, "order": "second", "n_step": 2, "layers": 3, "init_channels": 4}
    whole, t = search(**arguments), trainer(tmp_path / "whole", max_epochs=3)
    t.fit(whole, digits())
    history = next(c for c in t.callbacks if isinstance(c, Chronicle)).history

    with pytest.raises(KilledError):
        trainer(tmp_path, max_epochs=3, callbacks=[SaveAndKill(killed_at, tmp_path / "a.ckpt")]).fit(search(**arguments), digits())
    resumed, t = search(**arguments), trainer(tmp_path / "resumed", max_epochs=3)
    t.fit(resumed, digits(), ckpt_path=str(tmp_path / "a.ckpt"), weights_only=True)

    assert t.global_step == 21
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[name]), name
    again = next(c for c in t.callbacks if isinstance(c, Chronicle)).history
    assert sorted(again) == sorted(history) == [0, 1, 2, 3]
    assert all(torch.equal(a, again[epoch][name]) for epoch, now in history.items() for name, a in now.items())
    assert (tmp_path / "resumed" / "genotype.yaml").read_text() == (tmp_path / "whole" / "genotype.yaml").read_text()


def test_a_kill_after_the_last_checkpoint_does_not_cost_the_cell(tmp_path, monkeypatch):
    monkeypatch.undo()  # with pictures

    def run(**going_on):
        checkpoints = {"enable_checkpointing": True, "callbacks": [Checkpoints()]}
        trainer(tmp_path, **checkpoints).fit(search(n_step=2), digits(), **going_on)
        files = [tmp_path / "genotype.yaml", *sorted((tmp_path / "figures").iterdir())]
        return {path.name: path.read_bytes() for path in files}

    whole = run()
    assert len(whole) == 5
    shutil.rmtree(tmp_path / "figures")
    (tmp_path / "genotype.yaml").unlink()
    assert run(ckpt_path=str(tmp_path / "checkpoints" / "last.ckpt"), weights_only=True) == whole


def test_a_search_that_was_cut_short_leaves_no_cell(tmp_path):
    with pytest.raises(KilledError):
        trainer(tmp_path, callbacks=[SaveAndKill(10, tmp_path / "a.ckpt")]).fit(search(), digits())
    assert not (tmp_path / "genotype.yaml").exists()


class Staged(DARTS):
    """Changes at each epoch's start, and not in a way that could be done twice."""

    temperature = 1.0

    def epoch_start(self, epoch, max_epochs):
        self.temperature *= 0.7

    def relax(self, alpha):
        return (alpha / self.temperature).softmax(-1)

    def state(self):
        return {"temperature": self.temperature}

    def rebuild(self, state):
        self.temperature = state["temperature"]


@pytest.mark.parametrize("killed_at", [7, 10])
def test_a_staged_searcher_starts_every_epoch_once(tmp_path, killed_at):
    whole = search(searcher=Staged())
    trainer(tmp_path, max_epochs=3).fit(whole, digits())
    callback = SaveAndKill(killed_at, tmp_path / "a.ckpt")
    with pytest.raises(KilledError):
        trainer(tmp_path, max_epochs=3, callbacks=[callback]).fit(search(searcher=Staged()), digits())
    resumed = search(searcher=Staged())
    trainer(tmp_path, max_epochs=3).fit(resumed, digits(), ckpt_path=str(tmp_path / "a.ckpt"), weights_only=True)
    assert resumed.searcher.temperature == whole.searcher.temperature == pytest.approx(0.7**3)
    assert torch.equal(resumed.searcher.alpha["normal"], whole.searcher.alpha["normal"])


# Checkpoints


def saved(folder, task):
    t = trainer(folder, max_epochs=1, limit_train_batches=1, limit_val_batches=0)
    t.fit(task, digits())
    t.save_checkpoint(folder / "a.ckpt")
    return folder / "a.ckpt"


def test_the_checkpoint_alone_makes_the_task_again(tmp_path):
    task = search(searcher=DARTS(gamma=0.5, damp="alpha"), n_step=4, order="exact")
    path = saved(tmp_path, task)
    again = SmallSearch.load_from_checkpoint(path, weights_only=True)
    assert again.architecture == task.architecture
    assert again.searcher.gamma == 0.5
    assert again.n_step == 4
    assert again.space == SPACE
    x = torch.rand(2, 3, 16, 16)
    assert torch.equal(again.eval()(x), task.eval()(x))
    assert again.searcher.derive() == task.searcher.derive()
    plain = torch.load(path, weights_only=True)["hyper_parameters"]
    assert yaml.safe_load(yaml.safe_dump(plain)) == plain


@pytest.mark.parametrize(
    ("other", "says"), [({"space": Space(operations=("zero", "skip_connect"), nodes=2)}, "space"), ({"layers": 5}, "layers")]
)
def test_a_checkpoint_of_another_architecture_is_refused_in_one_line(tmp_path, other, says):
    path = saved(tmp_path, search())
    with pytest.raises(UserError, match=f"another architecture: its {says} is") as error:
        trainer(tmp_path).test(search(**other), digits(), ckpt_path=str(path), weights_only=True)
    assert "\n" not in str(error.value)


def test_a_checkpoint_of_something_else_is_refused(tmp_path):
    path = saved(tmp_path, search())
    content = torch.load(path, weights_only=True)
    torch.save(content | {"hyper_parameters": {"description": {}}}, path)
    with pytest.raises(UserError, match="not one of a search"):
        trainer(tmp_path).validate(search(), digits(), ckpt_path=str(path), weights_only=True)


# Wrong values


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("n_step", 0),
        ("layers", 0),
        ("init_channels", 0),
        ("order", "fist"),
        ("learning_rate", 0),
        ("learning_rate_min", 1.0),
        ("momentum", 1.0),
        ("weight_decay", -1),
        ("gradient_clip", -1),
        ("architecture_learning_rate", 0),
        ("architecture_weight_decay", -1),
        ("architecture_warmup", -1),
        ("searcher", torch.nn.Linear(1, 1)),
    ],
)
def test_wrong_values_are_said_in_one_line(name, value):
    with pytest.raises(UserError, match=name) as error:
        Search(**{"searcher": DARTS(), name: value})
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"precision": "bf16-true"}, "trainer.precision.*32-true, 64-true, bf16-mixed"),
        ({"max_epochs": -1}, "trainer.max_epochs"),
        ({"max_epochs": 2}, "architecture_warmup: 2 of 2 epochs"),
    ],
)
def test_what_a_search_cannot_do_it_says_before_it_starts(tmp_path, arguments, says):
    with pytest.raises(UserError, match=says):
        trainer(tmp_path, **arguments).fit(search(architecture_warmup=2), digits())


def test_half_precision_is_refused_by_name(tmp_path):
    t = trainer(tmp_path)
    t.strategy.precision_plugin.precision = "16-mixed"  # a Trainer on a CPU does not get that far itself
    with pytest.raises(UserError, match="16-mixed"):
        t.fit(search(), digits())


def test_a_search_that_diverged_says_so(tmp_path):
    with pytest.raises(UserError, match="diverged"):
        trainer(tmp_path).fit(search(learning_rate=1e30, learning_rate_min=0, gradient_clip=0), digits())


def test_the_cosine_goes_from_first_to_last():
    assert [cosine(e, 2, 1.0, 0.5) for e in (0, 1, 2)] == pytest.approx([1.0, 0.75, 0.5])
