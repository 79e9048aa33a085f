"""Killed in mid-epoch, then gone on with: the same bits, and the same rows of metrics.csv."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from robnas.errors import UserError
from robnas.runtime.checkpoints import choose
from robnas.runtime.loggers import read
from small_run import run

SCRIPT = Path(__file__).parents[1] / "small_run.py"


def start(folder, **arguments):
    """The run in a process of its own → its exit status."""
    words = [f"{k}={v}" for k, v in arguments.items()]
    return subprocess.run([sys.executable, str(SCRIPT), str(folder), *words], check=False, timeout=120).returncode


def rows(folder):
    return [{k: v for k, v in row.items() if k != "seconds"} for row in read(folder / "metrics.csv")]


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


class Stop(BaseException):
    """Stands for a kill where a process of its own would take too long."""


def stopped(folder, monkeypatch, **arguments):
    """As `run` with kill=…, in this process: the loop is left without a word, and nothing after it is written."""

    def leave(pid, sign):
        monkeypatch.setattr("robnas.runtime.loggers.CSV.log_metrics", lambda *a, **k: None)
        raise Stop

    with monkeypatch.context() as patch:
        patch.setattr("small_run.os.kill", leave)
        with pytest.raises(Stop):
            run(folder, **arguments)
    monkeypatch.undo()


@pytest.mark.parametrize(
    ("kill", "every", "steps"),
    [
        (23, 4, -1),  # in the second epoch, after the checkpoint of step 20
        (9, 4, -1),  # in the first
        (14, 5, -1),  # at an epoch's last batch, before its validation
        (-28, 14, -1),  # in validation: a checkpoint of the step before would know nothing of it
        (16, 0, -1),  # from an epoch's end, which a new epoch had left
        (15, 14, -1),  # every = one epoch
        (23, 4, 33),  # a run by steps, which ends in mid-epoch
    ],
)
def test_a_run_that_was_left_ends_with_the_same_bits(tmp_path, monkeypatch, kill, every, steps):
    _, whole = run(tmp_path / "whole", every=every, steps=steps)
    stopped(tmp_path / "left", monkeypatch, kill=kill, every=every, steps=steps)
    last = choose(tmp_path / "left" / "checkpoints")
    trainer, resumed = run(tmp_path / "left", every=every, steps=steps, ckpt=str(last))
    assert same(whole.state_dict(), resumed.state_dict())
    assert rows(tmp_path / "left") == rows(tmp_path / "whole")
    assert trainer.global_step == (42 if steps < 0 else steps)


def test_a_run_that_goes_on_from_the_checkpoint_before_too(tmp_path, monkeypatch):
    _, whole = run(tmp_path / "whole")
    stopped(tmp_path / "left", monkeypatch, kill=30)
    last = tmp_path / "left" / "checkpoints" / "last.ckpt"
    os.truncate(last, last.stat().st_size // 2)
    with pytest.raises(UserError, match=r"last\.ckpt: it is cut off"):
        run(tmp_path / "left", ckpt=str(last))
    _, resumed = run(tmp_path / "left", ckpt=str(choose(last.parent)))
    assert same(whole.state_dict(), resumed.state_dict())
    assert rows(tmp_path / "left") == rows(tmp_path / "whole")


def test_another_seed_or_a_lost_position_would_be_seen(tmp_path, monkeypatch):
    """The comparison can fail: without the loader's position the bits differ."""
    _, whole = run(tmp_path / "whole")
    stopped(tmp_path / "left", monkeypatch, kill=23)
    monkeypatch.setattr("robnas.data.sampling.Loader.load_state_dict", lambda self, state: None)
    _, resumed = run(tmp_path / "left", ckpt=str(tmp_path / "left" / "checkpoints" / "last.ckpt"))
    assert not same(whole.state_dict(), resumed.state_dict())


def test_the_mean_over_an_epoch_needs_its_first_half(tmp_path, monkeypatch):
    """The comparison of rows can fail: without what the epoch had gathered, its mean differs."""
    run(tmp_path / "whole")
    stopped(tmp_path / "left", monkeypatch, kill=23)
    monkeypatch.setattr("robnas.runtime.half_epoch.HalfEpoch.on_load_checkpoint", lambda *a: None)
    run(tmp_path / "left", ckpt=str(tmp_path / "left" / "checkpoints" / "last.ckpt"))
    assert rows(tmp_path / "left") != rows(tmp_path / "whole")


@pytest.mark.slow
def test_a_run_that_was_killed_ends_with_the_same_bits(tmp_path):
    assert start(tmp_path / "whole") == 0
    assert start(tmp_path / "killed", kill=23, workers=2) == -signal.SIGKILL
    assert not (tmp_path / "killed" / "end.pt").exists()
    assert start(tmp_path / "killed", ckpt=tmp_path / "killed" / "checkpoints" / "last.ckpt", workers=2) == 0
    assert same(*(torch.load(tmp_path / name / "end.pt", weights_only=True) for name in ("whole", "killed")))
    assert rows(tmp_path / "killed") == rows(tmp_path / "whole")
