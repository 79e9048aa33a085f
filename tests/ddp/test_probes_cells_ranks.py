"""Cells and zero-cost scores: on two ranks the values of one process, and each row once."""

import os

import pytest
from lightning.fabric.plugins.environments import LightningEnvironment
from lightning.pytorch.strategies import DDPStrategy

from ranks import run_on_ranks
from robnas.probes.cells import Cells
from robnas.probes.zero_cost import ZeroCost
from robnas.results import Rows
from small_classifier import classifier, digits, trainer


def values(folder: str, ranks: int = 1) -> dict[str, float]:
    """Of a network before its first step, in float64."""
    strategy = DDPStrategy(process_group_backend="gloo", cluster_environment=LightningEnvironment()) if ranks > 1 else "auto"
    probes = [Cells(hooks=("fit_start",)), ZeroCost(n_samples=32, batch=16)]
    trainer(folder, devices=ranks, strategy=strategy, precision="64-true", callbacks=probes).fit(classifier(), digits(augment=False))
    return {row.metric: row.value for probe in probes for row in probe.rows}


def on_two_ranks(rank: int, folder: str) -> dict[str, float]:
    os.environ |= {"LOCAL_RANK": str(rank), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0"}
    return values(folder, ranks=2)


@pytest.mark.slow
def test_two_ranks_equal_one_process(tmp_path):
    one = values(str(tmp_path / "one"))
    first, second = run_on_ranks(on_two_ranks, 2, str(tmp_path / "two"))
    assert len(one) == 20 + 3
    assert first == second == pytest.approx(one, rel=1e-10)
    assert len([row for row in Rows(tmp_path / "two" / "results.jsonl").read() if row.kind == "probe"]) == 23  # once
