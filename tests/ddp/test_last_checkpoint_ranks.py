"""Two ranks that were killed after their very last checkpoint end as they would have."""

import os

import pytest
import torch
from lightning.fabric.plugins.environments import LightningEnvironment
from lightning.pytorch.strategies import DDPStrategy

from ranks import run_on_ranks
from robnas.probes.convergence import Convergence
from small_classifier import classifier, digits, trainer


def on_two_ranks(rank: int, folder: str):
    """The whole training, and the end of it again → weights and the probe's values of each."""
    os.environ |= {"LOCAL_RANK": str(rank), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0"}
    found = []
    for last in (None, f"{folder}/checkpoints/last.ckpt"):
        strategy = DDPStrategy(process_group_backend="gloo", cluster_environment=LightningEnvironment())
        probe, task = Convergence(), classifier(ema=0.9)
        t = trainer(folder, enable_checkpointing=True, callbacks=[probe], devices=2, strategy=strategy, max_epochs=2)
        t.fit(task, digits(), ckpt_path=last, weights_only=True if last else None)
        found.append(({k: v.clone() for k, v in task.state_dict().items()}, [(row.metric, row.value) for row in probe.rows]))
    return found


@pytest.mark.slow
def test_what_comes_at_the_end_comes_on_both_ranks(tmp_path):
    for (whole, rows), (again, rows_again) in run_on_ranks(on_two_ranks, 2, str(tmp_path)):
        assert rows
        assert rows_again == rows
        assert all(torch.equal(whole[name], again[name]) for name in whole)
