"""The table of gradient variance: what it says, by hand; what it measures, on tiny networks; and that nothing is done twice."""

import json
import math
import sys
from pathlib import Path

import pytest

from robnas.errors import UserError

sys.path.insert(0, str(Path(__file__).parents[2] / "tools"))
import table_of_gradient_variance as tool

OWN = ("own", "running")


def run(model, family, value, seed=0, metric="gradient_variance"):
    keys = {"model": model, "family": family, "seed": seed, "metric": metric, "value": value, "ci": (value / 2, 2 * value)}
    return keys | {"initialisation": "own", "batch_norm": "running", "n": 64, "seconds": 1.0}


def test_orders_of_magnitude_by_hand():
    runs = [run("darts", "nas", 1.0), run("enas", "nas", 10.0), run("resnet", "manual", 1e3), run("vgg", "manual", 1e4)]
    middle, low, high = tool.orders(runs, OWN, "gradient_variance")
    assert middle == pytest.approx(3.0)  # 3.5 − 0.5
    assert (low, high) == (2.0, 4.0)
    assert tool.orders(runs[:2], OWN, "gradient_variance") is None


@pytest.mark.parametrize(
    ("found", "says"),
    [
        ((3, 2.1, 4), "as claimed"),
        ((-1, -2, -0.1), "the other way round"),
        ((0.5, -1, 1), "no difference seen"),
        ((1, -1, 3), "no difference seen, nor two orders excluded"),
        ((1, 0.5, 1.5), "smaller for NAS, but by less than two orders"),
        ((2, 1.5, 2.5), "smaller for NAS, two orders not excluded"),
    ],
)
def test_the_verdict_follows_the_interval(found, says):
    assert tool.verdict(found) == says


def test_one_seed_has_the_interval_of_its_inputs_and_several_that_of_their_geometric_mean():
    assert tool.middle([run("darts", "nas", 4.0)]) == (4.0, 2.0, 8.0)
    value, low, high = tool.middle([run("darts", "nas", v, seed) for seed, v in enumerate((1.0, 10.0, 100.0))])
    assert value == pytest.approx(10.0)
    assert math.log10(high) == pytest.approx(1 + 4.30265 / 3**0.5, rel=1e-4)
    assert low * high == pytest.approx(100.0)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [(["--models", "resnett"], "unknown network 'resnett'"), (["--inputs", "1"], "--inputs"), (["--seeds", "1", "1"], "--seeds")],
)
def test_wrong_arguments_are_one_line(arguments, says):
    with pytest.raises(UserError, match=says):
        tool.main(arguments)


@pytest.mark.slow
def test_it_measures_once_and_writes_page_picture_and_numbers(tmp_path, capsys, monkeypatch):
    small = ["--seeds", "0", "--models", "darts", "resnet", "--inputs", "12", "--size", "tiny", "--workers", "1", "--runs", str(tmp_path)]
    where = ["--out", str(tmp_path / "page.md"), "--numbers", str(tmp_path / "numbers.json")]
    assert tool.main([*small, *where]) == 0
    kept = json.loads((tmp_path / "numbers.json").read_text())["runs"]
    assert len(kept) == 2 * 6 * 2
    assert all(r["ci"][0] <= r["value"] <= r["ci"][1] for r in kept)
    before = (tmp_path / "gradient_variance" / "results.jsonl").read_bytes()
    monkeypatch.setattr(tool, "measure", None)  # would not be picklable, nor called
    assert tool.main([*small, *where]) == 0
    assert (tmp_path / "gradient_variance" / "results.jsonl").read_bytes() == before
    assert tool.table(kept) in (tmp_path / "page.md").read_text()
    assert (tmp_path / "page.svg").stat().st_size > 0
