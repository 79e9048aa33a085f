"""The Trainer: what it plugs in, its two verbs, what it stops."""

import inspect
import re

import jsonargparse
import pytest
import torch
from lightning.fabric.plugins.environments import LightningEnvironment
from lightning.fabric.utilities import distributed
from lightning.fabric.utilities.rank_zero import rank_zero_info
from lightning.pytorch import Callback, LightningModule
from lightning.pytorch import Trainer as LightningTrainer
from lightning.pytorch.callbacks import Checkpoint, ModelCheckpoint
from torch import nn

from robnas.attacks.base import Attack
from robnas.data import Digits
from robnas.errors import UserError
from robnas.probes.base import Probe
from robnas.runtime.checkpoint_io import AtomicCheckpointIO, read
from robnas.runtime.checkpoints import Checkpoints
from robnas.runtime.loggers import CSV
from robnas.runtime.progress import Bars, PlainLines, progress
from robnas.runtime.step_seed import StepSeed
from robnas.runtime.trainer import Trainer
from small_run import SmallTask


def trainer(folder, **arguments):
    return Trainer(
        **{"accelerator": "cpu", "devices": 1, "max_epochs": 1, "default_root_dir": str(folder), "logger": [CSV(folder)]} | arguments
    )


def digits():
    return Digits(batch_size=92)


def kinds(t):
    return {type(c) for c in t.callbacks}


def test_what_is_plugged_in_and_what_of_it_the_user_may_replace(tmp_path):
    t = trainer(tmp_path)
    assert {StepSeed, Checkpoints, PlainLines} <= kinds(t)
    assert isinstance(t.strategy.checkpoint_io, AtomicCheckpointIO)
    assert isinstance(t.callbacks[-1], Checkpoint)
    mine = Checkpoints(monitor=None)
    assert [c for c in trainer(tmp_path, callbacks=[mine, ModelCheckpoint(tmp_path)]).callbacks if isinstance(c, Checkpoints)] == [mine]
    assert not any(isinstance(c, Checkpoint) for c in trainer(tmp_path, enable_checkpointing=False).callbacks)
    assert PlainLines not in kinds(trainer(tmp_path, enable_progress_bar=False))


def test_barebones_is_lightnings(tmp_path):
    bare = Trainer(barebones=True, max_epochs=1, accelerator="cpu")
    assert not {StepSeed, Checkpoints, PlainLines} & kinds(bare)


def test_every_argument_of_lightnings_trainer_is_one_of_ours_with_its_help():
    parser = jsonargparse.ArgumentParser()
    parser.add_class_arguments(Trainer, "trainer", fail_untyped=False)
    text = parser.format_help()
    for name in inspect.signature(LightningTrainer.__init__).parameters:
        assert name == "self" or f"--trainer.{name}" in text, name
    assert parser.get_defaults().trainer.use_distributed_sampler is False


@pytest.mark.parametrize("watched", ["valid/accuracy", None])
def test_best_last_and_the_one_before(tmp_path, watched):
    callback = Checkpoints(monitor=watched)
    t = trainer(tmp_path, max_epochs=3, callbacks=[callback])
    t.fit(SmallTask(), digits())
    folder = tmp_path / "checkpoints"
    assert [read(folder / f"{name}.ckpt")["global_step"] for name in ("previous", "last")] == [28, 42]
    assert (folder / "best.ckpt").is_file() == bool(watched)
    if watched:
        assert read(folder / "best.ckpt")["callbacks"]["Checkpoints"]["best"] == callback.best
        assert callback.best_model_path == str(folder / "best.ckpt")


def test_the_smallest_loss_is_the_best_where_it_is_watched():
    lower = Checkpoints("valid/loss", "min")
    lower.best = 0.5
    assert (lower._better(0.4), lower._better(0.5), lower._better(0.6)) == (True, False, False)


class Stub(Callback):
    """Needs gradients inside a test loop, and says where it was called."""

    calls: list[str]

    def on_test_batch_end(self, trainer, pl_module, outputs, batch, batch_idx, dataloader_idx=0):
        with torch.enable_grad():
            x = batch[0].clone().requires_grad_()
            pl_module(x).sum().backward()
        assert x.grad is not None
        self.calls.append(type(self).__name__)


class AnAttack(Stub, Attack):
    on_test_start = on_test_epoch_end = on_test_end = lambda *a: None
    __call__ = proportions = None
    access = "white"


class AProbe(Stub, Probe):
    on_test_start = on_test_epoch_end = on_test_end = lambda *a: None
    measure = None


@pytest.mark.parametrize(("verb", "called"), [("attack", "AnAttack"), ("probe", "AProbe")])
def test_a_verb_calls_its_own_callbacks_with_gradients_and_leaves_the_trainer_as_it_was(tmp_path, verb, called):
    Stub.calls = []
    attack, probe = AnAttack.__new__(AnAttack), AProbe.__new__(AProbe)
    attack.rows, probe.rows = ("row of the attack",), ("row of the probe",)
    t = trainer(tmp_path, callbacks=[attack, probe], limit_test_batches=1)
    before = list(t.callbacks)
    rows = getattr(t, verb)(SmallTask(), digits())
    assert Stub.calls == [called]
    assert rows == (f"row of the {verb}",)
    assert t.callbacks == before
    assert t.test_loop.inference_mode is True


def test_rows_lie_in_the_run_folder_unless_told_otherwise(tmp_path):
    t = trainer(tmp_path)
    assert t.rows.path == tmp_path / "results.jsonl"
    t.rows = "elsewhere"
    assert t.rows == "elsewhere"
    assert t.provenance == {}


@pytest.mark.parametrize("step", [0, 20])
def test_a_loss_that_is_no_number_stops_the_run_and_keeps_the_last_good_checkpoint(tmp_path, step):
    t = trainer(tmp_path, max_epochs=3, callbacks=[Checkpoints(save_every_n_steps=1)])
    with pytest.raises(UserError, match=rf"^the loss is not finite at step {step} \(epoch {step // 14}\)") as error:
        t.fit(SmallTask(break_at=step), digits())
    assert "\n" not in str(error.value)
    last = tmp_path / "checkpoints" / "last.ckpt"
    assert last.is_file() == (step > 0)
    if step:
        assert all(v.isfinite().all() for v in read(last)["state_dict"].values())
        assert read(last)["global_step"] == step


class Manual(LightningModule):
    """Its training step returns nothing; what it logs is all there is to see."""

    def __init__(self):
        super().__init__()
        self.automatic_optimization, self.w = False, nn.Parameter(torch.ones(1))

    def training_step(self, batch, batch_idx):
        self.optimizers().step()
        self.log("train/loss", self.w.detach()[0] / (0.0 if batch_idx == 3 else 1.0), on_epoch=True, on_step=False)

    def validation_step(self, batch, batch_idx):
        pass

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1)


def test_a_manual_task_is_watched_by_what_it_logs(tmp_path):
    with pytest.raises(UserError, match=r"not finite at step 3 \(epoch 0\)"):
        trainer(tmp_path).fit(Manual(), digits())


def test_on_several_ranks_all_stop_before_the_next_checkpoint(tmp_path, monkeypatch):
    """Ranks look together, every so many steps and before each checkpoint; here the interval never comes."""
    monkeypatch.setattr("robnas.runtime.finite.FiniteLoss.on_train_batch_end", without_a_look)
    with pytest.raises(UserError, match="not finite at step 5 "):
        trainer(tmp_path, callbacks=[Checkpoints(save_every_n_steps=8)]).fit(SmallTask(break_at=5), digits())
    assert not (tmp_path / "checkpoints" / "last.ckpt").exists()


def without_a_look(self, trainer, pl_module, outputs, batch, batch_idx):
    bad = torch.tensor(float(trainer.fit_loop.total_batch_idx) if outputs["loss"].isnan() else torch.inf)
    self._first_bad = bad if self._first_bad is None else torch.minimum(self._first_bad, bad)


def test_a_step_draws_the_same_noise_whatever_was_drawn_before(tmp_path):
    class Draw(Callback):
        def __init__(self):
            self.drawn = []

        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
            self.drawn.append(torch.rand(1).item())

    histories = []
    for waste in (0, 3):
        torch.rand(waste)
        draw = Draw()
        trainer(tmp_path, max_epochs=2, limit_train_batches=3, callbacks=[draw], enable_checkpointing=False).fit(SmallTask(), digits())
        histories.append(draw.drawn)
    assert histories[0] == histories[1]
    assert len(set(histories[0])) == 6


def test_elsewhere_than_on_a_terminal_an_epoch_is_a_line(tmp_path, capfd):
    trainer(tmp_path, max_epochs=2, enable_checkpointing=False).fit(SmallTask(), digits())
    said = capfd.readouterr()
    lines = said.out.splitlines()
    assert [line.split("  ")[0] for line in lines] == ["epoch 1/2", "epoch 2/2"]
    assert [word.split()[0] for word in lines[0].split("  ")[1:-1]] == ["train/accuracy", "train/loss", "valid/accuracy", "valid/loss"]
    assert lines[0].endswith(" s")
    assert said.err == ""


def test_on_a_terminal_the_same_lines_stand_above_a_bar(tmp_path, capfd, monkeypatch):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert type(progress()) is Bars
    trainer(tmp_path, max_epochs=2, enable_checkpointing=False, callbacks=[Bars()]).fit(SmallTask(), digits())
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", capfd.readouterr().out)
    assert re.findall(r"epoch (\d/\d)  train/accuracy [\d.]+  train/loss", text) == ["1/2", "2/2"]
    assert re.search(r"epoch 2/2 +━+ 14/14", text)


def test_lightnings_advice_is_not_passed_on_but_its_warnings_are(tmp_path, caplog, monkeypatch):
    class Overrides(SmallTask):
        def configure_callbacks(self):
            return [Checkpoints()]

    monkeypatch.setattr(torch.distributed, "init_process_group", lambda *a, **k: None)
    monkeypatch.setattr(distributed.os, "environ", {})
    with caplog.at_level("INFO"):
        limits = {f"limit_{name}_batches": 1 for name in ("train", "val", "test", "predict")}
        trainer(tmp_path, **limits, val_check_interval=1.0).fit(Overrides(), digits())
        distributed._init_dist_connection(LightningEnvironment(), "gloo", 0, 1)
        assert not caplog.messages
        rank_zero_info("something else")
    assert caplog.messages == ["something else"]
