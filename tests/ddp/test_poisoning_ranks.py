"""Two ranks with half the batch each against one process: the same poison, the same filter, the same weights and numbers."""

import os

import pytest
import torch
from lightning.fabric.plugins.environments import LightningEnvironment
from lightning.pytorch.strategies import DDPStrategy

from ranks import run_on_ranks
from robnas.attacks.defences.loss_filter import LossFilter
from robnas.attacks.poisoning import LabelFlip, Record
from robnas.results import Rows
from robnas.runtime.final_test import final_test
from small_poisoned import colours, fit


def poisoned(folder: str, ranks: int = 1):
    """Three epochs in float64, filtered from the second on → state, what is kept, curves, rows without what names the weights."""
    strategy = DDPStrategy(process_group_backend="gloo", cluster_environment=LightningEnvironment()) if ranks > 1 else "auto"
    flip, keep = LabelFlip(rate=0.3, clean="none", watched=15, freeze=True), LossFilter(drop=0.3, start=1, every=1)
    settings = {"devices": ranks, "strategy": strategy, "precision": "64-true"}
    trainer, model, data = fit(folder, flip, keep, data=colours(), **settings)
    final_test(trainer, model, data)
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    return state, keep.kept, flip.history, {(r.plugin, r.metric): (r.value, r.n, r.ci) for r in flip.rows + keep.rows}


def on_two_ranks(rank: int, folder: str):
    os.environ |= {"LOCAL_RANK": str(rank), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0"}
    return poisoned(folder, ranks=2)


@pytest.mark.slow
def test_two_ranks_equal_one_process(tmp_path):
    state, kept, history, rows = poisoned(str(tmp_path / "one"))
    for theirs in run_on_ranks(on_two_ranks, 2, str(tmp_path / "two")):
        assert max(float((state[name] - theirs[0][name]).abs().max()) for name in state) < 1e-10
        assert torch.equal(kept, theirs[1])
        assert [theirs[2][e] == pytest.approx(history[e]) for e in range(3)] == [True] * 3
        assert theirs[3].keys() == rows.keys()
        assert all(theirs[3][key][:2] == pytest.approx(rows[key][:2]) for key in rows)
    assert Record.read(tmp_path / "one").digest == Record.read(tmp_path / "two").digest
    metrics = [[row.metric for row in Rows(tmp_path / name / "results.jsonl").read()] for name in ("one", "two")]
    assert metrics[0] == metrics[1]  # once
