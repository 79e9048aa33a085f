"""Options of the recipe: off they change nothing, on they do what they say, and a killed training goes on bit for bit."""

import math

import pytest
import torch
from lightning.pytorch import Callback

import robnas
from robnas.copies import digest, evaluation_copy
from robnas.errors import UserError
from robnas.runtime.checkpoint_io import read
from robnas.space import published
from robnas.tasks import compilation
from robnas.tasks.averaging import ramp
from robnas.tasks.classifier import Classifier
from robnas.tasks.recipe import share
from small_classifier import classifier, digits, trainer


def flat(task):
    return torch.cat([p.detach().flatten() for p in task.model.parameters()])


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


class Watch(Callback):
    """Keeps what `read` sees after each batch, before weights are averaged."""

    def __init__(self, read):
        self.read, self.seen = read, []

    def on_train_batch_end(self, trainer, task, *_):
        self.seen.append(self.read(trainer, task))


# Warm-up


def test_the_rate_rises_in_a_line_and_then_falls_by_a_cosine(tmp_path):
    watch = Watch(lambda t, task: t.optimizers[0].param_groups[0]["lr"])
    fit = trainer(tmp_path, max_epochs=5, limit_train_batches=2, callbacks=[watch])
    fit.fit(classifier(warmup_epochs=2, learning_rate=0.3), digits())
    assert watch.seen[::2] == pytest.approx([0.1, 0.2, 0.3, 0.3 * 0.75, 0.3 * 0.25], rel=1e-12)


def test_without_warm_up_the_closed_form_is_torchs_cosine():
    assert [share(e, 4, 0) for e in range(4)] == pytest.approx([0.5 * (1 + math.cos(math.pi * e / 4)) for e in range(4)])


def test_a_warm_up_that_leaves_nothing_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"warmup_epochs: 3 leaves nothing of trainer.max_epochs: 3"):
        trainer(tmp_path, max_epochs=3).fit(classifier(warmup_epochs=3), digits())


# EMA


def test_the_average_is_tested_kept_and_loaded_and_the_weights_go_on_without_it(tmp_path):
    """After step 1 the average is w₁; step 2 keeps (1 + 2) / (10 + 2) = ¼ of it, step 3 the lesser of 4/13 and 0.3; in float64."""
    watch, task = Watch(lambda t, task: flat(task)), classifier(ema=0.3)
    t = trainer(tmp_path, limit_train_batches=3, limit_val_batches=1, callbacks=[watch], enable_checkpointing=True, precision="64-true")
    t.fit(task, digits())
    w1, w2, w3 = watch.seen
    average = 0.3 * (0.25 * w1 + 0.75 * w2) + 0.7 * w3
    torch.testing.assert_close(flat(task), average, rtol=0, atol=1e-14)
    kept = read(tmp_path / "checkpoints" / "last.ckpt")
    assert same(kept["state_dict"], task.state_dict())
    name = "model.network.classifier.weight"
    assert torch.equal(kept["current_model_state"][name].flatten(), w3[-(kept["state_dict"][name].numel() + 10) : -10])
    loaded = robnas.load(tmp_path)
    torch.testing.assert_close(torch.cat([p.flatten() for p in loaded.parameters()]).double(), average, rtol=0, atol=1e-6)
    plain = classifier()
    trainer(tmp_path / "plain", limit_train_batches=3, limit_val_batches=1, precision="64-true").fit(plain, digits())
    assert torch.equal(flat(plain), w3)


def test_the_average_keeps_little_at_first_and_then_its_decay():
    assert [ramp(0.999, t) for t in (1, 2, 8, 90, 8989, 8990, 10**6)] == [2 / 11, 1 / 4, 1 / 2, 0.91, 8990 / 8999, 0.999, 0.999]
    assert [ramp(0.3, t) for t in (2, 3)] == [1 / 4, 0.3]


def test_running_statistics_are_averaged_like_weights(tmp_path):
    """Three steps of momentum 0.1 give r₁, r₂, r₃ to training, and their average by hand to the checkpoint."""

    def running(state):
        return {name: v.clone() for name, v in state.items() if "running_" in name}

    watch, task = Watch(lambda t, task: running(task.state_dict())), classifier(ema=0.3)
    t = trainer(tmp_path, limit_train_batches=3, limit_val_batches=1, callbacks=[watch], enable_checkpointing=True, precision="64-true")
    t.fit(task, digits())
    kept = running(read(tmp_path / "checkpoints" / "last.ckpt")["state_dict"])
    r1, r2, r3 = watch.seen
    assert kept
    for name, value in kept.items():
        torch.testing.assert_close(value, 0.3 * (0.25 * r1[name] + 0.75 * r2[name]) + 0.7 * r3[name], rtol=0, atol=1e-14)
        assert not torch.equal(value, r3[name])


def test_validation_is_of_the_average(tmp_path):
    t, task = trainer(tmp_path, limit_train_batches=2), classifier(ema=0.9)
    t.fit(task, digits())
    (again,) = t.validate(task, digits(), verbose=False)
    assert again["valid/loss"] == pytest.approx(float(t.callback_metrics["valid/loss"]), rel=1e-6)
    plain = classifier()
    trainer(tmp_path / "plain", limit_train_batches=2).fit(plain, digits())
    (other,) = t.validate(plain, digits(), verbose=False)
    assert other["valid/loss"] != pytest.approx(again["valid/loss"], rel=1e-6)


@pytest.mark.filterwarnings("error")
def test_an_averaged_checkpoint_is_evaluated_without_a_word(tmp_path):
    t, task = trainer(tmp_path, enable_checkpointing=True, limit_train_batches=3, limit_val_batches=1), classifier(ema=0.5)
    t.fit(task, digits())
    (before,) = t.test(task, digits(), verbose=False)
    path = str(tmp_path / "checkpoints" / "last.ckpt")
    other = classifier(ema=0.5)
    (found,) = trainer(tmp_path / "other", enable_checkpointing=True).test(other, digits(), ckpt_path=path, verbose=False)
    assert found == before
    assert same(other.state_dict(), task.state_dict())


# A kill, with everything on


class KilledError(Exception):
    pass


class SaveAndKill(Callback):
    def __init__(self, path):
        self.path = path

    def on_train_batch_end(self, trainer, *_):
        if trainer.global_step == 6:
            trainer.save_checkpoint(self.path)
            raise KilledError


ALL = {"ema": 0.8, "warmup_epochs": 1, "initialisation": "kaiming", "options": {"dropout": 0.1, "auxiliary": True}}


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_a_killed_training_goes_on_bit_for_bit_with_every_option(tmp_path, precision):
    def fit(folder, callbacks=(), path=None):
        arguments = {"max_epochs": 3, "limit_train_batches": 4, "limit_val_batches": 1, "precision": precision}
        task, t = classifier(**ALL), trainer(folder, callbacks=list(callbacks), **arguments)
        t.fit(task, digits(members=0.5), ckpt_path=path)
        return task, {k: float(v) for k, v in t.callback_metrics.items()}

    whole, logged = fit(tmp_path / "whole")
    with pytest.raises(KilledError):
        fit(tmp_path / "killed", [SaveAndKill(tmp_path / "a.ckpt")])
    before = (tmp_path / "killed" / "membership.npz").read_bytes()
    resumed, again = fit(tmp_path / "killed", path=str(tmp_path / "a.ckpt"))
    assert same(whole.state_dict(), resumed.state_dict())
    assert again == logged
    assert (tmp_path / "killed" / "membership.npz").read_bytes() == before
    forgetful = {k: v for k, v in read(tmp_path / "a.ckpt").items() if k not in ("current_model_state", "averaging_state")}
    torch.save(forgetful, tmp_path / "b.ckpt")
    assert not same(fit(tmp_path / "killed", path=str(tmp_path / "b.ckpt"))[0].state_dict(), whole.state_dict())  # it can fail


# A loss that is no number


class Breaks(Classifier):
    """NaN at the fourth step."""

    def objective(self, batch):
        total, loss, logits = super().objective(batch)
        return total * (torch.nan if self.global_step == 3 else 1), loss, logits


@pytest.mark.parametrize(("precision", "ema"), [("32-true", 0.0), ("32-true", 0.5), ("bf16-mixed", 0.5)])
def test_a_nan_stops_the_training_and_the_last_good_checkpoint_stays(tmp_path, precision, ema):
    t = trainer(tmp_path, limit_train_batches=6, precision=precision, enable_checkpointing=True, save_every_n_steps=1)
    with pytest.raises(
        UserError, match=r"^the loss is not finite at step 3 \(epoch 0\): stopped; the last good checkpoint is kept"
    ) as error:
        t.fit(classifier(Breaks, ema=ema), digits())
    assert "\n" not in str(error.value)
    kept = read(tmp_path / "checkpoints" / "last.ckpt")
    assert kept["global_step"] == 3
    parts = ("state_dict", "current_model_state") if ema else ("state_dict",)
    assert all(value.isfinite().all() for part in parts for value in kept[part].values())
    assert robnas.load(tmp_path)(torch.rand(1, 3, 16, 16)).isfinite().all()


# bf16, layout


def test_bf16_trains_and_keeps_single_precision_weights(tmp_path):
    t, task = trainer(tmp_path, precision="bf16-mixed", limit_train_batches=3, enable_checkpointing=True), classifier()
    t.fit(task, digits())
    assert {p.dtype for p in task.parameters()} == {torch.float32}
    assert math.isfinite(float(t.callback_metrics["train/loss"]))
    single = classifier()
    trainer(tmp_path / "single", limit_train_batches=3).fit(single, digits())
    assert not torch.equal(flat(task), flat(single))  # else it was not bf16
    torch.testing.assert_close(flat(task), flat(single), rtol=0, atol=0.05)
    x = torch.rand(2, 3, 16, 16)
    assert torch.equal(robnas.load(tmp_path)(x), task.eval()(x))


@pytest.mark.parametrize("wanted", [True, False])
def test_channels_last_can_be_turned_off(tmp_path, wanted):
    task = classifier(channels_last=wanted)
    trainer(tmp_path).validate(task, digits(), verbose=False)
    wide = [p for p in task.parameters() if p.ndim == 4 and p.shape[1] > 1 and p.shape[2] > 1]
    assert wide
    assert {p.is_contiguous(memory_format=torch.channels_last) for p in wide} == {wanted}
    assert {p.is_contiguous() for p in wide} == {not wanted}


# torch.compile


@pytest.fixture
def eager(monkeypatch):
    """Traced and run, but without a C++ compiler."""
    monkeypatch.setattr(compilation, "compile_", lambda network, options: network.compile(backend="eager"))


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore:.*CUDA.*")
def test_compilation_changes_neither_names_nor_values_nor_copies(tmp_path, eager):
    torch.compiler.reset()
    tasks = []
    for wanted in (False, True):
        task = Classifier("resnet", "tiny", {"width": 4}, compile_network=wanted)
        t = trainer(tmp_path / str(wanted), enable_checkpointing=True, limit_val_batches=1)
        t.fit(task, digits())
        tasks.append(task)
    assert same(tasks[0].state_dict(), tasks[1].state_dict())
    assert digest(evaluation_copy(tasks[1])) == digest(evaluation_copy(tasks[0]))
    assert evaluation_copy(tasks[1]).network._compiled_call_impl is None
    x = torch.rand(2, 3, 16, 16)
    assert torch.equal(robnas.load(tmp_path / "True")(x), tasks[1].eval()(x))


def test_what_cannot_be_compiled_is_said_in_one_line(tmp_path, monkeypatch):
    with pytest.raises(UserError, match="compile_network: with drop_path") as error:
        trainer(tmp_path).fit(classifier(compile_network=True, options={"drop_path": 0.1}), digits())
    assert "\n" not in str(error.value)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_compiled_training_goes_on_bit_for_bit_and_can_be_attacked(tmp_path):
    def fit(folder, callbacks=(), path=None):
        task = Classifier("resnet", "tiny", {"width": 4, "depth": 10}, compile_network=True)
        trainer(folder, max_epochs=2, limit_train_batches=4, callbacks=list(callbacks)).fit(task, digits(), ckpt_path=path)
        return task

    torch.compiler.reset()
    whole = fit(tmp_path / "whole")
    with pytest.raises(KilledError):
        fit(tmp_path / "killed", [SaveAndKill(tmp_path / "a.ckpt")])
    torch.compiler.reset()  # another process would compile anew
    resumed = fit(tmp_path / "killed", path=str(tmp_path / "a.ckpt"))
    assert same(whole.state_dict(), resumed.state_dict())
    assert not [name for name in whole.state_dict() if "_orig_mod" in name]
    batch = next(iter(digits().test_dataloader()))
    assert len(robnas.attacks.PGD(steps=1, n_restarts=1)(resumed, batch.x[:8], batch.y[:8]).success) == 8


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_without_a_compiler_one_line_says_so(tmp_path, monkeypatch):
    from torch._inductor import config

    torch.compiler.reset()
    monkeypatch.setattr(config.cpp, "cxx", (None, "/nonexistent/c++"))
    monkeypatch.setattr(config, "force_disable_caches", True)
    with pytest.raises(UserError, match=r"compile_network: .*compiler") as error:
        trainer(tmp_path).fit(Classifier("resnet", "tiny", {"width": 4}, compile_network=True), digits())
    assert "\n" not in str(error.value)
    torch.compiler.reset()


# Wrong values, and the way back


@pytest.mark.parametrize(("name", "value"), [("warmup_epochs", -1), ("ema", 1.0), ("ema", -0.1), ("initialisation", "kaming")])
def test_wrong_values_are_said_in_one_line(name, value):
    with pytest.raises(UserError, match=name) as error:
        Classifier(**{name: value})
    assert "\n" not in str(error.value)


def test_the_options_come_back_from_a_checkpoint(tmp_path):
    given = {"ema": 0.5, "initialisation": "kaiming", "channels_last": False}
    t, task = trainer(tmp_path), classifier(**given)
    t.fit(task, digits())
    t.save_checkpoint(tmp_path / "a.ckpt")
    again = Classifier.load_from_checkpoint(tmp_path / "a.ckpt", weights_only=True)
    assert {name: getattr(again, name) for name in given} == given
    assert same(again.state_dict(), task.state_dict())


@pytest.mark.parametrize(("network", "options"), [("resnet", {"depth": 18, "width": 8}), ("darts", {"layers": 3, "init_channels": 4})])
def test_a_checkpoint_makes_its_own_network_again(tmp_path, network, options):
    t, task = trainer(tmp_path, limit_train_batches=1, limit_val_batches=1), Classifier(network, "tiny", options)
    t.fit(task, digits())
    t.save_checkpoint(tmp_path / "a.ckpt")
    again = Classifier.load_from_checkpoint(tmp_path / "a.ckpt", weights_only=True)
    assert again.architecture == task.architecture
    assert same(again.state_dict(), task.state_dict())


def test_a_checkpoint_makes_the_cell_of_a_file_that_is_gone(tmp_path):
    (tmp_path / "mine.yaml").write_text(published.find("enas").to_yaml())
    task = classifier(network=str(tmp_path / "mine.yaml"))
    t = trainer(tmp_path, limit_train_batches=1, limit_val_batches=1)
    t.fit(task, digits())
    t.save_checkpoint(tmp_path / "a.ckpt")
    (tmp_path / "mine.yaml").unlink()
    assert Classifier.load_from_checkpoint(tmp_path / "a.ckpt", weights_only=True).architecture == task.architecture
