"""AUC, TPR at a FPR, balanced accuracy and their intervals: by hand, by scikit-learn, by resampling."""

import math
from statistics import NormalDist

import numpy as np
import pytest
from scipy.optimize import brentq
from sklearn.metrics import roc_auc_score, roc_curve

from robnas import roc
from robnas.errors import UserError
from robnas.statistics import wilson


def groups(m: int = 70, n: int = 90, ties: bool = True, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x, y = rng.normal(0.5, 1, m), rng.normal(0, 1, n)
    return (x.round(1), y.round(1)) if ties else (x, y)


def both(x, y):
    return np.r_[np.ones(len(x)), np.zeros(len(y))], np.r_[x, y]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("ties", [True, False])
def test_auc_is_that_of_scikit_learn(seed, ties):
    x, y = groups(ties=ties, seed=seed)
    assert roc.auc(x, y).value == pytest.approx(roc_auc_score(*both(x, y)), abs=1e-12)
    assert roc.auc(y, x).value == pytest.approx(1 - roc.auc(x, y).value, abs=1e-12)  # signed
    assert roc.auc(np.r_[x, np.inf], np.r_[y, -np.inf]).value == pytest.approx(roc_auc_score(*both(np.r_[x, 99], np.r_[y, -99])))


def test_delong_by_hand():
    found = roc.auc([0.8, 0.6, 0.7], [0.5, 0.65])  # placements 1, ½, 1 and 0, ⅓
    half = 1.959964 * math.sqrt((1 / 12) / 3 + (1 / 18) / 2) / (5 / 36)
    assert found.value == pytest.approx(5 / 6)
    assert found.ci == pytest.approx([1 / (1 + math.exp(-(math.log(5) + side * half))) for side in (-1, 1)], rel=1e-6)
    assert found.ci_method == "delong, logit"
    mirrored = roc.auc([0.5, 0.65], [0.8, 0.6, 0.7])
    assert mirrored.ci == pytest.approx((1 - found.ci[1], 1 - found.ci[0]), rel=1e-12)


def test_delong_is_near_a_bootstrap():
    x, y = groups(300, 400)
    rng = np.random.default_rng(1)
    drawn = [roc.auc(rng.choice(x, 300), rng.choice(y, 400)).value for _ in range(800)]
    assert roc.auc(x, y).ci == pytest.approx(np.quantile(drawn, [0.025, 0.975]), abs=0.006)


@pytest.mark.parametrize(("shift", "m", "n"), [(0.0, 70, 90), (0.5, 70, 90), (2.0, 50, 50), (3.0, 50, 50), (3.0, 20, 20), (1.0, 10, 10)])
def test_an_auc_interval_holds_the_truth_as_often_as_it_says(shift, m, n):
    truth, rng = 0.5 * (1 + math.erf(shift / 2)), np.random.default_rng(0)  # Φ(shift / √2)
    ends = np.array([roc.auc(rng.normal(shift, 1, m), rng.normal(0, 1, n)).ci for _ in range(400)])
    below, above = (ends[:, 1] < truth).mean(), (ends[:, 0] > truth).mean()
    assert below + above < 0.09
    assert above < 0.08  # an interval of AUC ± z σ̂ lies above an AUC of 0.98 a fifth of the time


@pytest.mark.parametrize(("shift", "m", "n", "fpr"), [(2, 50, 1000, 0.01), (3, 100, 100, 0.1)])
def test_a_tpr_interval_holds_the_truth_and_is_never_narrower_than_wilsons(shift, m, n, fpr):
    normal, rng, inside = NormalDist(), np.random.default_rng(0), []
    truth = 1 - normal.cdf(normal.inv_cdf(1 - fpr) - shift)
    for _ in range(120):
        value, (low, high), *_ = roc.tpr_at(rng.normal(shift, 1, m), rng.normal(0, 1, n), fpr)
        least, most = wilson(round(value * m), m)
        assert low <= least
        assert high >= most
        inside.append(low <= truth <= high)
    assert np.mean(inside) > 0.9


def test_groups_wholly_apart_are_no_certainty():
    m, n, z = 20, 30, 1.959964

    def gap(a):  # Hanley and McNeil's variance, with Q₁ and Q₂
        more = (m + n) / 2 - 1
        variance = (a * (1 - a) + more * (a / (2 - a) - a**2) + more * (2 * a**2 / (1 + a) - a**2)) / (m * n)
        return 1 - a - z * math.sqrt(variance)

    found = roc.auc(np.arange(m) + 100, np.arange(n))
    assert found.value == 1
    assert found.ci_method == "newcombe"
    assert found.ci == pytest.approx((brentq(gap, 0.5, 0.999), 1.0), abs=1e-6)
    none = roc.auc(np.zeros(m), np.zeros(n))
    assert none.value == 0.5
    assert none.ci[0] < 0.4
    assert none.ci[1] > 0.6
    assert roc.auc([1.0], [0.0]).ci[0] < 0.25
    assert roc.auc([], [1.0]) == (None, None, None, ())


def test_folded_says_what_the_sign_hid():
    assert roc.folded(roc.Estimate(0.4, (0.35, 0.45), "delong")) == (0.6, pytest.approx((0.55, 0.65)), "delong, folded", ())
    assert roc.folded(roc.Estimate(0.48, (0.40, 0.56), "delong"))[:2] == (0.52, pytest.approx((0.5, 0.6)))


@pytest.mark.parametrize("fpr", [0.1, 0.05, 0.01])
@pytest.mark.parametrize("ties", [True, False])
def test_tpr_is_the_largest_of_scikit_learns_curve(fpr, ties):
    for seed in range(5):
        x, y = groups(150, 1000, ties, seed)
        false, true, _ = roc_curve(*both(x, y), drop_intermediate=False)
        assert roc.tpr_at(x, y, fpr).value == pytest.approx(true[false <= fpr + 1e-12].max(), abs=1e-12)


def test_tpr_by_hand_with_ties_at_the_threshold():
    y = np.r_[np.zeros(85), np.ones(15)]  # 15 negatives share the highest score: a FPR of 0.1 lets none of them in
    assert roc.tpr_at([0, 1, 1, 2], y, 0.1).value == 0.25
    assert roc.tpr_at([0, 1, 1, 2], y, 0.15).value == 0.75
    assert roc.tpr_at([0, 1], y, 1.0).value == 1


def test_the_interval_of_tpr_is_near_a_bootstrap_of_both_groups():
    x, y = groups(300, 400, ties=False)
    rng = np.random.default_rng(1)
    drawn = [(rng.choice(x, 300) > np.sort(rng.choice(y, 400))[-41]).mean() for _ in range(1000)]
    found = roc.tpr_at(x, y, 0.1)
    assert found.ci == pytest.approx(np.quantile(drawn, [0.025, 0.975]), abs=0.02)
    low, high = wilson(round(300 * found.value), 300)
    assert found.ci[0] < low  # the threshold is not known either
    assert found.ci[1] > high


def test_a_tpr_of_none_is_no_certainty():
    found = roc.tpr_at(np.zeros(50), np.arange(100) + 1, 0.1)
    assert found.value == 0
    assert found.ci[1] >= wilson(0, 50)[1]


@pytest.mark.parametrize(("fpr", "need"), [(0.1, 100), (0.01, 1000), (0.001, 10_000)])
def test_without_ten_deciding_negatives_there_is_no_tpr(fpr, need):
    x, rng = np.arange(20.0), np.random.default_rng(0)
    refused = roc.tpr_at(x, rng.normal(size=need - 1), fpr)
    assert refused.value is None
    assert refused.ci is None
    assert refused.flags == (f"refused: {need - 1:,} negatives, {need:,} needed",)
    assert roc.tpr_at(x, rng.normal(size=need), fpr).value is not None


def test_balanced_accuracy_of_chance_is_a_half_and_of_a_clean_cut_one():
    chance = [roc.balanced_accuracy(*(np.random.default_rng(s).normal(size=(2, 40)))).value for s in range(200)]
    assert np.mean(chance) == pytest.approx(0.5, abs=0.02)  # the best threshold of the same inputs would give 0.58
    assert roc.balanced_accuracy(np.arange(10) + 20, np.arange(10)).value == 1
    wrong_side = roc.balanced_accuracy(np.arange(100), np.arange(100) + 200)
    assert wrong_side.value == 0.5  # never turned round
    found = roc.balanced_accuracy([1, 1, 1, 0], [0, 0, 0, 0])
    assert found.value == pytest.approx((3 / 4 + 1) / 2)
    (a, b), (c, d) = wilson(3, 4), wilson(4, 4)
    reach = math.hypot(0.75 - a, 1 - c) / 2, math.hypot(b - 0.75, d - 1) / 2
    assert found.ci == pytest.approx((0.875 - reach[0], 0.875 + reach[1]))
    assert roc.balanced_accuracy([1], [0, 1]).value is None


def test_a_difference_of_shares_as_newcombe_printed_it():
    found = roc.difference(56, 70, 48, 80)  # Newcombe (1998), Table II, contrast (a), method 10
    assert found.value == pytest.approx(0.2)
    assert found.ci == pytest.approx((0.0524, 0.3339), abs=5e-5)
    assert roc.difference(0, 0, 1, 2).value is None


def test_nan_is_no_score():
    with pytest.raises(UserError, match="NaN"):
        roc.auc([np.nan], [0.0])
