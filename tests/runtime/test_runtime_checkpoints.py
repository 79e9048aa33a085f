"""Checkpoints that are whole or not there, and which one a run goes on with."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from lightning.pytorch import LightningModule
from torch import nn

from robnas.data import Digits
from robnas.errors import UserError
from robnas.runtime.checkpoint_io import AtomicCheckpointIO, damage, read
from robnas.runtime.checkpoints import Checkpoints, choose, share
from robnas.runtime.trainer import Trainer

CONTENT = {"state_dict": {"w": torch.arange(1000.0)}, "epoch": 3, "plain": {"a": [1, "b", None]}}


def save(path, content=None):
    AtomicCheckpointIO().save_checkpoint(content or CONTENT, path)
    return path


def test_what_is_written_comes_back_and_nothing_else_is_left(tmp_path):
    path = save(tmp_path / "new" / "last.ckpt")
    content = AtomicCheckpointIO().load_checkpoint(path)
    assert torch.equal(content["state_dict"]["w"], CONTENT["state_dict"]["w"])
    assert content["plain"] == CONTENT["plain"]
    assert [p.name for p in path.parent.iterdir()] == ["last.ckpt"]


@pytest.mark.parametrize("share_kept", [0.0, 0.1, 0.5, 0.9, 0.999])
def test_a_checkpoint_cut_in_half_is_refused_by_name(tmp_path, share_kept):
    path = save(tmp_path / "last.ckpt")
    os.truncate(path, int(path.stat().st_size * share_kept))
    with pytest.raises(UserError, match=r"^checkpoint .*/last\.ckpt: it is cut off or damaged \(\d+ bytes\)$"):
        read(path)


def test_a_flipped_bit_among_the_weights_is_seen(tmp_path):
    path = save(tmp_path / "last.ckpt")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert "damaged in" in damage(path)


def test_what_is_not_there_or_not_a_checkpoint_is_refused_by_name(tmp_path):
    with pytest.raises(UserError, match=r"no\.ckpt: there is no such file"):
        read(tmp_path / "no.ckpt")
    (tmp_path / "text.ckpt").write_text("hello")
    with pytest.raises(UserError, match=r"text\.ckpt: it is cut off or damaged"):
        read(tmp_path / "text.ckpt")
    torch.save({"weights": torch.ones(3)}, tmp_path / "foreign.ckpt")
    with pytest.raises(UserError, match=r"foreign\.ckpt holds no state_dict"):
        read(tmp_path / "foreign.ckpt")


def test_nothing_in_a_checkpoint_is_executed(tmp_path):
    torch.save({"state_dict": {}, "evil": Path("x")}, tmp_path / "evil.ckpt")
    with pytest.raises(UserError, match=r"evil\.ckpt cannot be read") as error:
        read(tmp_path / "evil.ckpt")
    assert "\n" not in str(error.value)


@pytest.mark.slow
def test_a_kill_while_writing_leaves_the_old_one_whole(tmp_path):
    """A process that does nothing but write, killed at ten different moments."""
    path = save(tmp_path / "last.ckpt")
    code = f"""
import torch
from robnas.runtime.checkpoint_io import AtomicCheckpointIO
content = {{"state_dict": {{"w": torch.ones(200_000)}}}}
print("begins", flush=True)
while True:
    AtomicCheckpointIO().save_checkpoint(content, {str(path)!r})
"""
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline() == "begins\n"
        for i in range(10):
            time.sleep(0.013 + 0.007 * i)
            os.kill(process.pid, 19)  # SIGSTOP: what is on the disk now is what a kill would leave
            assert damage(path) == ""
            os.kill(process.pid, 18)
    finally:
        process.kill()
        process.stdout.close()
        process.wait()
    assert damage(path) == ""


def test_the_one_before_serves_where_the_newest_is_cut(tmp_path, capsys):
    last, previous = save(tmp_path / "last.ckpt"), save(tmp_path / "previous.ckpt")
    assert choose(tmp_path) == last
    assert capsys.readouterr().out == ""
    os.truncate(last, 100)
    assert choose(tmp_path) == previous
    assert capsys.readouterr().out == f"checkpoint {last}: it is cut off or damaged (100 bytes); trying the one before it\n"
    os.truncate(previous, 100)
    assert choose(tmp_path, say=False) is None
    assert choose(tmp_path / "nowhere") is None


def test_a_shared_file_is_not_changed_by_what_comes_after(tmp_path):
    last = save(tmp_path / "last.ckpt")
    share(last, tmp_path / "best.ckpt")
    share(last, tmp_path / "best.ckpt")  # a second time
    assert sorted(p.name for p in tmp_path.iterdir()) == ["best.ckpt", "last.ckpt"]
    save(last, {"state_dict": {}, "epoch": 4})
    assert read(tmp_path / "best.ckpt")["epoch"] == 3


@pytest.mark.parametrize(("name", "value"), [("mode", "largest"), ("save_every_n_steps", -1)])
def test_wrong_arguments(name, value):
    with pytest.raises(UserError, match=rf"^{name}: .*{value}"):
        Checkpoints(**{name: value})


class Scored(LightningModule):
    """Its validation says what it is told to, epoch by epoch."""

    def __init__(self, scores):
        super().__init__()
        self.scores, self.w = scores, nn.Parameter(torch.ones(1))

    def training_step(self, batch, batch_idx):
        return self.w.sum()

    def validation_step(self, batch, batch_idx):
        self.log("valid/accuracy", self.scores[self.current_epoch])

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1)


def fit(folder, scores, mode="max", ckpt_path=None):
    """An epoch for each score → the callback, and the epoch of best.ckpt."""
    callback = Checkpoints(mode=mode)
    few = {"limit_train_batches": 1, "limit_val_batches": 1, "num_sanity_val_steps": 0, "log_every_n_steps": 1}
    quiet = {"logger": False, "enable_progress_bar": False, "accelerator": "cpu"}
    trainer = Trainer(default_root_dir=str(folder), max_epochs=len(scores), callbacks=[callback], **few, **quiet)
    trainer.fit(Scored(scores), Digits(batch_size=92), ckpt_path=ckpt_path)
    return callback, read(folder / "checkpoints" / "best.ckpt")["epoch"]


@pytest.mark.parametrize(("mode", "best", "epoch"), [("max", 0.5, 1), ("min", 0.2, 0)])
def test_the_best_is_the_best(tmp_path, mode, best, epoch):
    callback, kept = fit(tmp_path, [0.2, 0.5, 0.3], mode)
    assert callback.best == pytest.approx(best)
    assert kept == epoch


@pytest.mark.parametrize("scores", [[0.2, 0.5], [0.2, 0.5, 0.3]])  # there is nothing left to train; there is
def test_a_kill_before_the_last_became_the_best_is_made_good(tmp_path, scores):
    fit(tmp_path, [0.2, 0.5])
    folder = tmp_path / "checkpoints"
    share(folder / "previous.ckpt", folder / "best.ckpt")  # as it was before the second epoch's end
    callback, kept = fit(tmp_path, scores, ckpt_path=str(folder / "last.ckpt"))
    assert kept == 1
    assert callback.best_model_path == str(folder / "best.ckpt")


def test_going_on_after_a_worse_epoch_leaves_the_best_alone(tmp_path):
    fit(tmp_path, [0.5, 0.2])
    assert fit(tmp_path, [0.5, 0.2, 0.3], ckpt_path=str(tmp_path / "checkpoints" / "last.ckpt"))[1] == 0
