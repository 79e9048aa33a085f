"""Spread of families against SciPy's Levene test about medians, and by hand."""

import numpy as np
import pytest

from robnas.comparison import least_exchanged, spread
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
    assert found.f == pytest.approx(theirs.statistic, rel=1e-9)
    jackknife = stats.ttest_ind(*(pseudo_values(v) for v in (x, y)), equal_var=False)
    whole = 2 * stats.t.sf(abs(jackknife.statistic), int(jackknife.df))
    assert found.p == pytest.approx(max(theirs.pvalue, whole, least_exchanged(m, n)), rel=1e-9)


def pseudo_values(v):
    def log(x):
        return np.log(np.mean(np.abs(x - np.median(x))))

    return [len(v) * log(v) - (len(v) - 1) * log(np.delete(v, i)) for i in range(len(v))]


@pytest.mark.parametrize(("m", "n", "rejected"), [(4, 4, 0.11), (10, 7, 0.08)])
def test_skewed_values_are_rarely_called_different(m, n, rejected):
    """Beta(5, ½): ASR near its ceiling. Levene's test alone rejects 16 of 100 of four against four."""
    rng = np.random.default_rng(1)
    draws = [spread(*study(rng.beta(5, 0.5, m), rng.beta(5, 0.5, n)), n_resamples=10).p for _ in range(300)]
    assert np.mean(np.array(draws) <= 0.05) <= rejected


def test_a_ratio_that_is_the_margin_is_no_evidence_against_it():
    x, y = [1, 2, 3, 4], [10, 20, 30, 40]
    assert spread(*study(x, y), margin=0.1).p_margin == pytest.approx(1)
    assert spread(*study(x, y), margin=0.8).p_margin == pytest.approx(spread(*study(np.array(x) / 0.8, y)).p)


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
    assert one.p == least_exchanged(4, 4) > stats.levene([1, 1, 1, 1], [1, 2, 3, 4], center="median").pvalue


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
