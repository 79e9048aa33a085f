"""Contours and smoothness at the beginning of a `fit`: two ranks find what one finds, and write it once."""

import os
from pathlib import Path

import pytest
from lightning.fabric.plugins.environments import LightningEnvironment
from lightning.pytorch.strategies import DDPStrategy

from ranks import run_on_ranks
from robnas.data.digits import Digits
from robnas.probes.contours import Contours
from robnas.probes.input_contours import InputContours
from robnas.probes.smoothness import Smoothness
from robnas.results import Rows
from small_classifier import classifier, trainer


def run(folder: str, **kwargs) -> list[tuple]:
    probes = [
        Contours(points=3, n_samples=8, resamples=20, hooks=("fit_start",)),
        InputContours(points=3, n_samples=4, n_drawn=2, hooks=("fit_start",)),
        Smoothness(n_samples=4, steps=3, theorem_inputs=1, secant_steps=2, hooks=("fit_start",)),
    ]
    t = trainer(folder, callbacks=probes, precision="64-true", **kwargs)
    t.fit(classifier(), datamodule=Digits(batch_size=32))
    return [(row.plugin, row.metric, row.value, row.ci) for probe in probes for row in probe.rows]


def on_two_ranks(rank: int, folder: str) -> list[tuple]:
    os.environ |= {"LOCAL_RANK": str(rank), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0"}
    strategy = DDPStrategy(process_group_backend="gloo", cluster_environment=LightningEnvironment())
    return run(folder, strategy=strategy, devices=2)


@pytest.mark.slow
def test_two_ranks_equal_one(tmp_path):
    one = run(str(tmp_path / "one"))
    both = run_on_ranks(on_two_ranks, 2, str(tmp_path / "two"), timeout=200)
    assert both[0] == both[1]
    for (plugin, metric, value, ci), (theirs, name, again, interval) in zip(one, both[0], strict=True):
        assert (plugin, metric) == (theirs, name)
        assert again == (None if value is None else pytest.approx(value, rel=1e-7, abs=1e-12))
        assert interval == (ci and pytest.approx(ci, rel=1e-7, abs=1e-12))
    rows = Rows(Path(tmp_path) / "two" / "results.jsonl").read()
    assert len(rows) == len(one)
    assert {"contours", "inputcontours", "smoothness"} == {row.plugin for row in rows}
    figures = {path.name for path in (tmp_path / "one" / "figures").glob("*.svg")}
    assert figures == {"contours-contour-fit_start.svg", "inputcontours-contour-fit_start.svg", "inputcontours-inputs-fit_start.svg"}
