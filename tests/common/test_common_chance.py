"""Independence, by enumeration, by SciPy and by permuting."""

from itertools import product

import numpy as np
import pytest
from scipy.stats import binom, kstest

from robnas.common import excess, jaccard, kappa, permuted, phi, poisson_binomial
from robnas.errors import UserError


def test_poisson_binomial_is_the_sum_over_all_outcomes():
    p = [0.1, 0.7, 0.35, 1.0, 0.0]
    brute = np.zeros(6)
    for outcome in product([0, 1], repeat=5):
        brute[sum(outcome)] += np.prod([q if hit else 1 - q for q, hit in zip(p, outcome, strict=True)])
    assert poisson_binomial(p) == pytest.approx(brute, abs=1e-15)


def test_equal_probabilities_are_a_binomial():
    assert poisson_binomial([0.3] * 17) == pytest.approx(binom.pmf(range(18), 17, 0.3), rel=1e-12)
    assert poisson_binomial([]) == pytest.approx([1])


def test_no_probability_is_refused():
    with pytest.raises(UserError, match="no probabilities"):
        poisson_binomial([0.5, 1.2])
    with pytest.raises(UserError, match="of 3"):
        permuted([4], 3, 1)


def test_the_permuted_histogram_is_that_of_permuting():
    """The chain of hypergeometric draws against inputs shuffled within each model: the same mean and spread of every bar."""
    n, hits, draws = 12, [5, 3, 8], 20_000
    rng = np.random.default_rng(0)
    rows = np.array([[1] * h + [0] * (n - h) for h in hits])
    literal = np.array([np.bincount(rng.permuted(rows, axis=1).sum(0), minlength=4) for _ in range(draws)])
    ours = permuted(hits, n, draws, seed=1)
    assert (ours.sum(1) == n).all()
    assert (ours @ np.arange(4) == sum(hits)).all()
    assert ours.mean(0) == pytest.approx(literal.mean(0), abs=0.05)
    assert ours.std(0) == pytest.approx(literal.std(0), abs=0.03)
    assert ours.mean(0) == pytest.approx(n * poisson_binomial([h / n for h in hits]), abs=0.05)


def test_the_p_value_is_uniform_under_independence():
    rng = np.random.default_rng(0)
    p = [excess(rng.random((5, 300)) < rng.uniform(0.2, 0.8, (5, 1)), draws=199, seed=i).p for i in range(60)]
    assert kstest(p, "uniform").pvalue > 0.01


def test_the_interval_covers_one_under_independence():
    rng = np.random.default_rng(1)
    found = [excess(rng.random((4, 300)) < 0.4, draws=399, seed=i).ci for i in range(60)]
    assert sum(low <= 1 <= high for low, high in found) >= 52


def test_equal_models_have_the_greatest_ratio():
    one = np.random.default_rng(0).random(200) < 0.3
    ratio, ci, p = excess([one] * 4)
    assert ratio == pytest.approx(4)
    assert ci == pytest.approx((4, 4))
    assert p == 1 / 10_000


def test_models_that_avoid_each_other_have_less_than_one():
    one = np.arange(200) < 100
    ratio, _, p = excess([one, ~one])
    assert (ratio, p) == (0, 1)


def test_the_ratio_by_hand():
    # K = 2, 1, 0, 0: mean 0.75, Var 5/4 − 9/16 = 11/16; shares 1/2 and 1/4: 1/4 + 3/16 = 7/16
    assert excess([[1, 1, 0, 0], [1, 0, 0, 0]]).ratio == pytest.approx(11 / 7)


@pytest.mark.parametrize("broken", [np.zeros((3, 0)), np.ones((3, 5)), np.zeros((3, 5)), [[1, 0, 1], [0, 0, 0]]])
def test_nothing_is_said_where_fewer_than_two_models_vary(broken):
    assert excess(broken) == (None, None, None)


def test_equal_seeds_draw_equally():
    broken = np.random.default_rng(0).random((3, 50)) < 0.5
    assert excess(broken, 99, seed=3) == excess(broken, 99, seed=3)
    assert excess(broken, 99, seed=3).ci != excess(broken, 99, seed=4).ci


def test_pairs_by_hand():
    a, b, never = [1, 1, 1, 0, 0, 0, 0, 0], [0, 1, 1, 1, 1, 0, 0, 0], [0] * 8
    found = jaccard([a, b, never])
    assert found[0, 1] == 2 / 5
    assert found[0, 2] == 0
    assert np.isnan(found[2, 2])
    assert phi([a, b, never])[0, 1] == pytest.approx(np.corrcoef(a, b)[0, 1])
    assert np.isnan(phi([a, b, never])[0, 2])
    assert kappa([a, b])[0, 1] == pytest.approx((5 / 8 - (12 + 20) / 64) / (1 - (12 + 20) / 64))  # agree on 5 of 8
    assert np.diag(kappa([a, b])) == pytest.approx(1)
