"""Probes on two ranks: one measures, both know, and it is what one process finds."""

import os
from pathlib import Path

import pytest
from lightning.fabric.plugins.environments import LightningEnvironment
from lightning.pytorch.strategies import DDPStrategy

from ranks import run_on_ranks
from robnas.data.digits import Digits
from robnas.probes.convergence import Convergence
from robnas.probes.gradient_variance import GradientVariance
from robnas.results import Rows
from small_classifier import classifier, trainer


def run(folder: str, probes: list | None = None, **kwargs) -> list[tuple]:
    probes = probes or [GradientVariance(n_samples=8), Convergence(losses=(9.0,), window=1)]
    t = trainer(folder, callbacks=probes, precision="64-true", **kwargs)
    t.fit(classifier(), datamodule=Digits(batch_size=32))
    return [(row.metric, row.params["at"], row.value, row.ci) for probe in probes for row in probe.rows]


def on_two_ranks(rank: int, folder: str) -> list[tuple]:
    os.environ |= {"LOCAL_RANK": str(rank), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0"}
    strategy = DDPStrategy(process_group_backend="gloo", cluster_environment=LightningEnvironment())
    return run(folder, strategy=strategy, devices=2)


def ntk(folder: str, **kwargs) -> list[tuple]:
    from robnas_ntk import NTK

    return run(folder, [NTK(n_samples=8, batch=4)], **kwargs)


def ntk_on_two_ranks(rank: int, folder: str) -> list[tuple]:
    os.environ |= {"LOCAL_RANK": str(rank), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0"}
    strategy = DDPStrategy(process_group_backend="gloo", cluster_environment=LightningEnvironment())
    return ntk(folder, strategy=strategy, devices=2)


def boom(rank: int, folder: str) -> None:
    class Broken(GradientVariance):
        def measure(self, model, x, y):
            raise RuntimeError("on one rank alone")

    os.environ |= {"LOCAL_RANK": str(rank), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0"}
    strategy = DDPStrategy(process_group_backend="gloo", cluster_environment=LightningEnvironment())
    t = trainer(folder, callbacks=[Broken(n_samples=8)], strategy=strategy, devices=2)
    with pytest.raises(RuntimeError, match="on one rank alone"):
        t.fit(classifier(), datamodule=Digits(batch_size=32))


@pytest.mark.slow
def test_two_ranks_equal_one(tmp_path):
    one = run(str(tmp_path / "one"))
    both = run_on_ranks(on_two_ranks, 2, str(tmp_path / "two"), timeout=200)
    assert both[0] == both[1]
    for (metric, at, value, ci), (name, when, theirs, interval) in zip(one, both[0], strict=True):
        assert (metric, at) == (name, when)
        assert theirs == (None if value is None else pytest.approx(value, rel=1e-8))
        assert interval == (ci and pytest.approx(ci, rel=1e-8))
    written = [Rows(Path(tmp_path) / name / "results.jsonl").read() for name in ("one", "two")]
    assert len(written[0]) == len(written[1]) == len(one)  # once, not once a rank


@pytest.mark.slow
def test_a_plug_ins_probe_on_two_ranks_equals_one(tmp_path):
    pytest.importorskip("robnas_ntk", reason="plugins/robnas-ntk is not installed")
    one = ntk(str(tmp_path / "one"))
    both = run_on_ranks(ntk_on_two_ranks, 2, str(tmp_path / "two"), timeout=200)
    assert one
    assert both[0] == both[1]
    assert [found[:2] for found in one] == [found[:2] for found in both[0]]
    assert [found[2] for found in both[0]] == pytest.approx([found[2] for found in one], rel=1e-6)  # a condition number


@pytest.mark.slow
def test_what_the_measuring_rank_raises_reaches_the_other(tmp_path):
    run_on_ranks(boom, 2, str(tmp_path), timeout=200)
