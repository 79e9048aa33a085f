"""The difference of two families: by hand, against SciPy, and by what happens in many studies."""

import numpy as np
import pytest

from robnas.comparison import difference, exchanged, flipped, holm, least, levels, models_needed
from robnas.comparison.permutation import least_exchanged
from robnas.errors import UserError

stats = pytest.importorskip("scipy.stats")


def study(x, y):
    values = {f"n{i}": np.atleast_1d(v).tolist() for i, v in enumerate(x)} | {f"m{i}": np.atleast_1d(v).tolist() for i, v in enumerate(y)}
    return values, {m: "nas" if m[0] == "n" else "manual" for m in values}


def test_by_hand():
    found = difference(*study([5, 6, 7, 8], [1, 2, 3, 4]))
    assert (found.value, found.mean, found.models, found.seeds, found.few) == (4, (6.5, 2.5), (4, 4), 8, "")
    assert found.p == pytest.approx(2 / 70)  # of 70 exchanges two are as far: this one and its mirror image
    assert 0 < found.low < 4 < found.high
    assert found.detectable == pytest.approx((2.4469 + 0.9057) * (5 / 6) ** 0.5 * 2**0.5 / 2**0.5, abs=1e-3)  # t(6), s² = 5/3, SE² = 5/6


@pytest.mark.parametrize(("m", "n"), [(4, 4), (5, 3), (3, 6)])
def test_exact_p_is_scipys(m, n):
    rng = np.random.default_rng(10 * m + n)
    for _ in range(5):
        x, y = rng.normal(0.7, 0.5, m).round(1), rng.normal(0, 1, n).round(1)  # rounded: there are ties
        theirs = stats.permutation_test((x, y), lambda a, b, axis: np.abs(welch_t(a, b, axis)), n_resamples=np.inf, alternative="greater")
        assert exchanged(x, y) == pytest.approx(theirs.pvalue, abs=1e-12)


def welch_t(a, b, axis):
    return stats.ttest_ind(a, b, axis=axis, equal_var=False).statistic


def test_drawn_p_is_near_the_exact_one_and_never_zero():
    x, y = np.random.default_rng(0).normal(0.8, 1, 7), np.random.default_rng(1).normal(0, 1, 6)
    assert exchanged(x, y, limit=0) == pytest.approx(exchanged(x, y), abs=0.01)
    assert exchanged(np.arange(20.0), np.arange(100.0, 120), draws=999) == 1 / 1000
    assert flipped(np.arange(1.0, 25), draws=999) == 1 / 1000


def test_exchange_within_pairs_by_hand_and_as_scipy_has_it():
    assert flipped([1, 2, 3]) == 2 / 8
    assert flipped([1, 2, -3]) == 1  # sum 0: nothing is nearer
    d = np.random.default_rng(2).normal(0.3, 1, 9)
    theirs = stats.permutation_test((d, 0 * d), paired_mean, permutation_type="samples", n_resamples=np.inf, alternative="greater")
    assert flipped(d) == pytest.approx(theirs.pvalue)


def paired_mean(a, b, axis):
    return np.abs((a - b).mean(axis))


def test_models_that_are_all_alike_are_no_evidence():
    found = difference(*study([1.0] * 5, [1.0] * 6))
    assert (found.value, found.low, found.high, found.p, found.detectable) == (0, 0, 0, 1, 0)
    apart = difference(*study([1.0] * 5, [0.9] * 6))
    assert apart.p == pytest.approx(least_exchanged(5, 6))
    assert (apart.low, apart.high) == pytest.approx((0.1, 0.1))


def test_a_model_counts_once_however_often_it_was_trained():
    rng = np.random.default_rng(3)
    x, y = rng.normal(1, 1, 5), rng.normal(0, 1, 5)
    once = difference(*study(x, y))
    often = difference(*study(np.repeat(x[:, None], 4, 1), y))  # the same number four times
    assert (often.value, often.low, often.high, often.p) == pytest.approx((once.value, once.low, once.high, once.p))
    assert (once.seeds, often.seeds) == (10, 25)


def test_models_without_a_number_or_a_family_are_left_out():
    values, families = study([1, 2, 3, np.nan], [4, 5, 6, 7])
    found = difference(values | {"mine": [100.0]}, families)
    assert (found.models, found.mean) == ((3, 4), (2, 5.5))


@pytest.mark.parametrize(("m", "n", "why"), [(2, 7, "at least 3 of each"), (0, 7, "at least 3 of each"), (3, 3, "no p below 0.1")])
def test_too_few_models_give_no_number(m, n, why):
    found = difference(*study(range(m), range(n)))
    assert (found.value, found.low, found.p, found.detectable) == (None,) * 4
    assert found.few.startswith(f"too few models: {m} nas, {n} manual; ")
    assert why in found.few


def test_the_order_of_the_mapping_is_nothing():
    values, families = study([3, 1, 2, 8], [5, 4, 0, 2])
    assert difference(dict(reversed(values.items())), families) == difference(values, families)


def test_detectable_gap_is_found_four_times_in_five():
    """By the noncentral t distribution, in which the power of a t-test stands."""
    values, families = study([0, 1, 2, 3, 4, 5], [0, 1, 2, 3, 4, 5])
    gap = difference(values, families).detectable
    shift = gap / (3.5 / 6 * 2) ** 0.5
    power = stats.nct.sf(stats.t.ppf(0.975, 10), 10, shift)
    assert power == pytest.approx(0.8, abs=0.02)


def test_holm_by_hand():
    adjusted = holm({"a": 0.01, "b": None, "c": 0.04, "d": 0.03, "e": 0.005})
    assert adjusted == pytest.approx({"a": 0.03, "c": 0.06, "d": 0.06, "e": 0.02})  # as in Holm's paper: 4 · 0.005, 3 · 0.01, 2 · 0.03, max
    assert list(adjusted) == ["a", "c", "d", "e"]
    assert holm({"a": 0.7, "b": 0.8}) == {"a": 1.0, "b": 1.0}


def test_the_level_of_a_test_among_others_is_where_holm_calls_it_significant():
    p = {"a": 0.001, "b": 0.02, "c": 0.03, "d": 0.9}
    for key, level in levels(p).items():
        assert holm({**p, key: level})[key] <= 0.05 + 1e-12
        assert holm({**p, key: level + 1e-6})[key] > 0.05
    assert levels(p)["a"] == 0.05 / 4
    assert levels(p)["d"] == 0.05 / 3
    assert least(p, dict.fromkeys(p, 0.01)) == pytest.approx({"a": 0.04, "b": 0.03, "c": 0.03, "d": 0.03})


def test_a_gap_is_tested_against_a_margin_as_against_none():
    values, families = study([5, 6, 7, 8], [1, 2, 3, 4])
    found = difference(values, families, margin=4)
    assert found.p_margin == 1
    assert difference(values, families, margin=9).p_margin == pytest.approx(exchanged([5 - 9, 6 - 9, 7 - 9, 8 - 9], [1, 2, 3, 4]))
    assert difference(values, families).p_margin is None


def test_models_needed():
    assert models_needed(0.05) == 4  # 2 / 70
    assert models_needed(0.05 / 20) == 6  # 2 / 924, while 2 / 252 is not enough


def test_refuses():
    values, families = study([1, 2, 3, 4], [1, 2, 3, 4])
    with pytest.raises(UserError, match="twice"):
        difference(values, families, "nas", "nas")
    with pytest.raises(UserError, match="confidence"):
        difference(values, families, confidence=1.0)


@pytest.mark.slow
@pytest.mark.parametrize(("m", "n", "spread"), [(4, 4, 1.0), (10, 7, 1.0), (10, 7, 0.5), (10, 7, 2.0)])
def test_the_interval_holds_the_truth_and_the_test_its_level(m, n, spread):
    rng, held, rejected = np.random.default_rng(0), 0, 0
    for i in range(600):
        found = difference(*study(rng.normal(3, spread, m), rng.normal(3, 1, n)), n_resamples=1000, seed=i)
        held += found.low <= 0 <= found.high
        rejected += found.p <= 0.05
    assert 0.92 <= held / 600 <= 0.98
    assert rejected / 600 <= 0.085
