"""Kendall's τ-b, its interval and what chance makes of a table: by hand, and against SciPy."""

import math

import numpy as np
import pytest

from robnas.errors import UserError
from robnas.statistics import kendall, kendall_beyond, kendall_by_chance, kendall_partial, kendall_table

stats = pytest.importorskip("scipy.stats")


def test_by_hand():
    assert kendall([1, 2, 3, 4], [1, 3, 2, 4]) == pytest.approx(4 / 6)  # five pairs in order, one not
    assert kendall([1, 2, 3], [30, 20, 10]) == pytest.approx(-1)
    assert kendall([1, 1, 2], [1, 2, 3]) == pytest.approx(2 / math.sqrt(2 * 3))  # a pair tied in x


@pytest.mark.parametrize("levels", [2, 5, 1000])
def test_agrees_with_scipy_with_and_without_ties(levels):
    rng = np.random.default_rng(levels)
    x = rng.integers(0, levels, (3, 60)).astype(float)
    y = x[:2] + rng.integers(0, levels, (2, 60))
    theirs = [[stats.kendalltau(a, b, variant="b").statistic for b in y] for a in x]
    assert kendall_table(x, y, n_resamples=2).tau == pytest.approx(np.array(theirs), abs=1e-12)


def test_what_is_missing_is_left_out_pair_by_pair():
    nan = math.nan
    x, y = [[1, 2, nan, 4, 5], [5, 1, 4, 2, 3]], [[2, nan, 9, 1, 3]]
    found = kendall_table(x, y, n_resamples=10)
    assert found.n.tolist() == [[3], [4]]
    assert found.tau[0, 0] == pytest.approx(stats.kendalltau([1, 4, 5], [2, 1, 3]).statistic)
    assert found.tau[1, 0] == pytest.approx(stats.kendalltau([5, 4, 2, 3], [2, 9, 1, 3]).statistic)


def test_infinite_values_are_ordered_too():
    assert kendall([1, 2, math.inf, math.inf], [1, 2, 3, 4]) == pytest.approx(stats.kendalltau([1, 2, 9, 9], [1, 2, 3, 4]).statistic)


@pytest.mark.parametrize(("x", "y"), [([], []), ([1], [1]), ([1, 1, 1], [1, 2, 3]), ([1, math.nan], [1, 2])])
def test_nothing_to_say(x, y):
    assert math.isnan(kendall(x, y))
    assert math.isnan(kendall_table([x], [y], n_resamples=3).low[0, 0]) if x else True


def test_the_interval_is_that_of_drawing_whole_things():
    """Against SciPy's τ of columns that are drawn and written out, whose duplicates are ties in both."""
    rng = np.random.default_rng(0)
    x = rng.integers(0, 6, 40).astype(float)
    y = x + rng.normal(size=40) * 3
    found, draw = kendall_table(x, y, n_resamples=300, seed=5), np.random.default_rng(5)
    drawn = [draw.integers(0, 40, 40) for _ in range(300)]
    theirs = np.quantile([stats.kendalltau(x[i], y[i]).statistic for i in drawn], [0.025, 0.975])
    assert (found.low[0, 0], found.high[0, 0]) == pytest.approx(tuple(theirs), abs=1e-12)


def test_the_interval_has_zero_where_there_is_nothing_and_not_where_there_is_much():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(1, 80))
    found = kendall_table(x, np.concatenate([rng.normal(size=(1, 80)), x + 0.5 * rng.normal(size=(1, 80))]), n_resamples=500)
    assert found.low[0, 0] < 0 < found.high[0, 0]
    assert 0 < found.low[0, 1] < found.tau[0, 1] < found.high[0, 1]


def test_chance_of_one_pair_is_scipys_exact_test_and_of_many_is_larger():
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=(1, 30)), rng.normal(size=(1, 30))
    one = kendall_by_chance(x, y, n_resamples=2000)
    found = min(
        (t.pvalue, abs(t.statistic)) for t in (stats.kendalltau(x[0], rng.permutation(y[0])) for _ in range(400)) if t.pvalue > 0.05
    )
    assert one == pytest.approx(found[1], abs=0.03)  # the |τ| whose exact p is just above 5%
    many = kendall_by_chance(rng.normal(size=(10, 30)), rng.normal(size=(5, 30)), n_resamples=500)
    assert many > one + 0.05
    same = kendall_by_chance(np.repeat(x, 10, axis=0), y, n_resamples=500)
    assert same == pytest.approx(one, abs=0.04)  # ten times the same is one


def test_equal_seeds_draw_equally():
    x, y = np.random.default_rng(3).normal(size=(2, 1, 20))
    assert kendall_table(x, y, n_resamples=50).low == kendall_table(x, y, n_resamples=50).low
    assert kendall_table(x, y, n_resamples=50, seed=1).low != kendall_table(x, y, n_resamples=50, seed=2).low


def test_partial_by_hand_and_where_a_third_is_the_whole_reason():
    x, y, z = [1, 2, 3, 4], [1, 3, 2, 4], [2, 1, 3, 4]  # τ: xy 2/3, xz 2/3, yz 1/3
    assert kendall_partial(x, y, z) == pytest.approx((2 / 3 - 2 / 9) / math.sqrt((1 - 4 / 9) * (1 - 1 / 9)))
    assert kendall_partial([*x, 9], [*y, -9], [*z, math.nan]) == pytest.approx(kendall_partial(x, y, z))
    assert math.isnan(kendall_partial(x, y, x))
    rng = np.random.default_rng(4)
    reason = rng.normal(size=400)
    a, b = reason + 0.3 * rng.normal(size=(2, 400))
    assert kendall(a, b) > 0.6
    assert kendall_partial(a, b, reason) < 0.25  # not 0: τ is no linear measure
    assert kendall_partial(a, b, rng.normal(size=400)) == pytest.approx(kendall(a, b), abs=0.02)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: kendall([1, 2], [1, 2, 3]), "rows of 2 values and rows of 3"),
        (lambda: kendall_table([1, 2], [1, 2, 3]), "rows of 2 values and rows of 3"),
        (lambda: kendall_table([1, 2], [1, 2], n_resamples=0), "n_resamples: 0"),
        (lambda: kendall_table([1, 2], [1, 2], confidence=1.0), "confidence: 1.0"),
        (lambda: kendall_by_chance([1, 2], [1, 2], level=0.0), "level: 0.0"),
        (lambda: kendall(np.zeros((2, 2, 2)), [1, 2]), "neither"),
    ],
)
def test_wrong_values_are_one_line(call, says):
    with pytest.raises(UserError, match=says):
        call()


def test_rows_of_few_things_do_not_rule_those_of_many():
    """Ten rows of 5 things among 20 of 25: by the plain maximum only |τ| = 1 would be beyond chance, which is then no more."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(30, 25)), rng.normal(size=(6, 25))
    x[:10, 5:] = np.nan
    x[29] = y[0] + 0.3 * rng.normal(size=25)
    assert kendall_by_chance(x, y, n_resamples=200) == 1
    found, chance = kendall_table(x, y, n_resamples=1), kendall_beyond(x, y, n_resamples=200)
    assert (chance[:10] > 1).all()
    assert len(np.unique(chance)) == 2
    assert 0.3 < chance[29, 0] < abs(found.tau[29, 0])
    assert chance[29, 0] / chance[0, 0] == pytest.approx(((2 * 55 / (25 * 24)) / (2 * 15 / (5 * 4))) ** 0.5)


@pytest.mark.parametrize("pairs", [False, True])
def test_what_has_nothing_to_do_with_each_other_is_beyond_chance_in_one_table_of_twenty(pairs):
    rng, tables, beyond = np.random.default_rng(1), 60, 0
    for _ in range(tables):
        x, y = rng.normal(size=(4, 12)), rng.normal(size=(3, 12))
        x[0, 7:] = np.nan
        y = None if pairs else y
        tau = kendall_table(x, x if pairs else y, n_resamples=1).tau
        above = np.triu(np.ones((4, 4)), 1) > 0 if pairs else np.ones((4, 3)) > 0
        beyond += bool((np.abs(tau) > kendall_beyond(x, y, n_resamples=100))[above].any())
    assert beyond / tables <= 0.12
