"""Spread of families against SciPy's Levene test about medians, and by hand."""

import numpy as np
import pytest

from robnas.comparison import spread
from robnas.statistics import student_quantile, student_two_sided

stats = pytest.importorskip("scipy.stats")


def study(x, y):
    values = {f"n{i}": [v] for i, v in enumerate(x)} | {f"m{i}": [v] for i, v in enumerate(y)}
    return values, {m: "nas" if m[0] == "n" else "manual" for m in values}


@pytest.mark.parametrize(("m", "n"), [(4, 4), (10, 7), (30, 11)])
def test_is_scipys(m, n):
    rng = np.random.default_rng(m)
    x, y = rng.normal(0, 0.3, m), rng.gamma(1, 1, n)
    found, theirs = spread(*study(x, y)), stats.levene(x, y, center="median")
    assert (found.f, found.p) == pytest.approx((theirs.statistic, theirs.pvalue), rel=1e-9)


def test_by_hand():
    found = spread(*study([1, 2, 3, 4], [10, 20, 30, 40]))
    assert found.deviation == (1, 10)
    assert found.ratio == pytest.approx(0.1)
    assert found.low < 0.1 < found.high
    assert found.f == pytest.approx(9**2 / (0.5 * (4 * 0.25 + 4 * 25) / 6))  # distances ½ ½ 1½ 1½ and ten times that
    assert (found.models, found.few) == ((4, 4), "")


def test_seeds_are_no_spread_of_models():
    values, families = study([1, 2, 3, 4], [5, 6, 7, 8])
    noisy = {m: [v[0] - 3, v[0] + 3] for m, v in values.items()}
    assert spread(noisy, families) == spread(values, families)


def test_families_that_do_not_vary():
    still = spread(*study([1, 1, 1, 1], [2, 2, 2, 2]))
    assert (still.ratio, still.f, still.p) == (None, None, None)
    one = spread(*study([1, 1, 1, 1], [1, 2, 3, 4]))
    assert (one.ratio, one.deviation) == (None, (0, 1))
    assert one.p == pytest.approx(stats.levene([1, 1, 1, 1], [1, 2, 3, 4], center="median").pvalue)


def test_families_whose_models_are_all_as_far_from_their_median():
    """Nothing varies within the distances: F would be ∞, and p 0."""
    found = spread(*study([1, 1, 2, 2], [0, 0, 9, 9]))
    assert (found.f, found.p) == (None, None)
    assert found.ratio == pytest.approx(0.5 / 4.5)


def test_too_few():
    assert spread(*study([1, 2], [1, 2, 3, 4])).few.startswith("too few models: 2 nas, 4 manual")


@pytest.mark.parametrize("freedom", [1, 2, 5, 15, 40])
def test_student_is_scipys(freedom):
    for t in (0.0, 0.3, 2.0, 9.0):
        assert student_two_sided(-t, freedom) == pytest.approx(2 * stats.t.sf(t, freedom), abs=1e-13)
    assert student_quantile(0.8, freedom) == pytest.approx(stats.t.ppf(0.8, freedom), rel=1e-9)
