"""PGD, HopSkipJump and an ensemble in one command, killed (SIGKILL) at any of its batches: the same command ends as if it had not been."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from torch.utils.data import DataLoader, TensorDataset

from every_evasion import named
from robnas.attacks.unfinished import Unfinished
from robnas.results import Rows
from small_victims import trained

QUIET = {"enable_progress_bar": False, "enable_model_summary": False, "enable_checkpointing": False, "accelerator": "cpu"}
NAMES = ("pgd", "hopskipjump", "ensemble", "eps_sweep")
BATCHES = 6


class Task(LightningModule):
    seconds = 0.0  # that each batch takes besides, so that a kill has a moment to come

    def __init__(self) -> None:
        super().__init__()
        self.model = trained()[0]

    def forward(self, x):
        return self.model(x)

    def test_step(self, batch, batch_idx):
        time.sleep(self.seconds)


def run(folder: Path) -> None:
    _, x, y = trained()
    data = TensorDataset(x[: 8 * BATCHES], y[: 8 * BATCHES], torch.arange(8 * BATCHES))
    trainer = Trainer(default_root_dir=folder, callbacks=[named(name) for name in NAMES], logger=False, **QUIET)
    trainer.rows, trainer.provenance = Rows(Path(folder) / "results.jsonl"), {"job": "3fa9", "dataset": "digits"}
    trainer.test(Task(), DataLoader(data, batch_size=8), verbose=False)


def kept(folder: Path) -> int:
    return len(list(folder.glob("outcomes/*.unfinished/*.npz")))


def kill(folder: Path, at: int) -> None:
    """The command as a child; it is killed once `at` batches of its attacks are through."""
    program = f"""
import sys; sys.path[:0] = {[str(Path(__file__).parent), str(Path(__file__).parent.parent)]!r}
import test_properties_killed as t
t.Unfinished.worth, t.Task.seconds = 0.0, 0.2
t.run({str(folder)!r})
"""
    child = subprocess.Popen([sys.executable, "-c", program], env=os.environ | {"OMP_NUM_THREADS": "1"}, stderr=subprocess.DEVNULL)
    end = time.monotonic() + 120
    while kept(folder) < at:
        assert child.poll() is None
        assert time.monotonic() < end
        time.sleep(0.002)
    child.send_signal(signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_killed_at_any_batch_and_gone_on_with(seed, tmp_path, monkeypatch):
    monkeypatch.setattr(Unfinished, "worth", 0.0)
    run(tmp_path / "whole")
    kill(tmp_path / "killed", random.Random(seed).randrange(1, len(NAMES) * (BATCHES - 1)))
    before, saved = kept(tmp_path / "killed"), []
    assert before
    monkeypatch.setattr(Unfinished, "save", lambda *args, save=Unfinished.save: saved.append(save(*args)))
    run(tmp_path / "killed")
    assert len(saved) == len(NAMES) * BATCHES - before  # no batch that was through is asked again
    stores = [Rows(tmp_path / name / "results.jsonl") for name in ("whole", "killed")]
    rows = [store.read() for store in stores]
    assert len({row.outcomes for row in rows[0]}) == len(NAMES) + 4
    for a, b in zip(*rows, strict=True):
        assert vars(a) | {"seconds": 0} == vars(b) | {"seconds": 0}
        mine, theirs = (store.read_outcomes(row) for store, row in zip(stores, (a, b), strict=True))
        for name, values in mine.items():
            assert np.array_equal(values, theirs[name], equal_nan=values.dtype.kind == "f"), (a.plugin, name)
    assert not list((tmp_path / "killed").glob("outcomes/*.unfinished"))
