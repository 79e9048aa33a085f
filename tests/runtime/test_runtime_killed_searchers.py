"""Every searcher killed with SIGKILL, through the command line, and the same command with `--ckpt_path last`: the same bits at the end.

In the middle of an epoch, and, where the search has stages, exactly between two of them.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import every_searcher
from robnas import jobs

BATCHES = 3
COMMAND = (
    *("--config", "digits.yaml", "--wandb=off", "--runs=runs", "--trainer.save_every_n_steps=1", "--trainer.callbacks+=killer.Killer"),
    *(f"--trainer.max_epochs={every_searcher.EPOCHS}", f"--trainer.limit_train_batches={BATCHES}", "--trainer.limit_val_batches=1"),
)
KILLER = '''
import os, signal
from lightning.pytorch import Callback


class Killer(Callback):
    """Ends the process before a batch, when all checkpoints of those before it are written."""

    def on_train_batch_start(self, trainer, *_):
        if os.environ.get("KILL_BEFORE") == str(trainer.fit_loop.epoch_loop.total_batch_idx):
            os.kill(os.getpid(), signal.SIGKILL)
'''


def robnas(folder: Path, name: str, *words: str, kill_before: int | None = None) -> int:
    """→ the exit status."""
    folder.mkdir(exist_ok=True)
    (folder / "killer.py").write_text(KILLER)
    environment = os.environ | {"OMP_NUM_THREADS": "1"} | ({} if kill_before is None else {"KILL_BEFORE": str(kill_before)})
    command = [sys.executable, "-m", "robnas", "fit", "--config", f"{name}.yaml", *COMMAND, *every_searcher.flags(name), *words]
    with (folder / "log.txt").open("ab") as log:
        return subprocess.run(command, cwd=folder, env=environment, stdout=log, stderr=log, timeout=300, check=False).returncode


def finished(folder: Path, name: str, *words: str) -> tuple[str, str, dict]:
    assert robnas(folder, name, *words) == 0, (folder / "log.txt").read_text()
    (job,) = jobs.find(folder / "runs")
    assert job.state() == "finished"
    rows = [json.loads(line) for line in (job.folder / "results.jsonl").read_text().splitlines()]
    values = {row["metric"]: row["value"] for row in rows if "seconds" not in row["metric"]}
    last = torch.load(job.folder / "checkpoints" / "last.ckpt", weights_only=True)
    return (job.folder / "genotype.yaml").read_text(), json.dumps(values, sort_keys=True), last


def borders(name: str) -> list[int]:
    """Batches with which a stage after the first begins."""
    searcher = every_searcher.task(name).searcher
    stages = [searcher.stage(epoch, every_searcher.EPOCHS) for epoch in range(every_searcher.EPOCHS)]
    return sorted({BATCHES * stage.first for stage in stages} - {0})


def same(a: object, b: object) -> bool:
    if isinstance(a, torch.Tensor):
        return isinstance(b, torch.Tensor) and torch.equal(a, b)
    if isinstance(a, dict):
        return isinstance(b, dict) and a.keys() == b.keys() and all(same(value, b[key]) for key, value in a.items())
    if isinstance(a, list | tuple):
        return isinstance(b, list | tuple) and len(a) == len(b) and all(map(same, a, b))
    return a == b


@pytest.mark.slow
@pytest.mark.parametrize("name", every_searcher.NAMES)
def test_killed_anywhere(tmp_path, name):
    cell, values, whole = finished(tmp_path / "whole", name)
    edges = borders(name)
    assert len(edges) == every_searcher.STAGES.get(name, 1) - 1
    for before in sorted({BATCHES + 2, *edges, *(edge + 1 for edge in edges)}):
        folder = tmp_path / f"killed-{before}"
        assert robnas(folder, name, kill_before=before) == -9, (folder / "log.txt").read_text()
        (job,) = jobs.find(folder / "runs")
        assert job.state() == "unfinished"
        again, theirs, resumed = finished(folder, name, "--ckpt_path", "last")
        assert again == cell
        assert theirs == values
        for part in ("state_dict", "optimizer_states", "searcher", "global_step"):
            assert same(whole[part], resumed[part]), (before, part)
