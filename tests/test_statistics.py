"""Intervals against SciPy and by hand."""

import math
import subprocess
import sys

import numpy as np
import pytest

from robnas.errors import UserError
from robnas.statistics import bootstrap, student, wilson

stats = pytest.importorskip("scipy.stats")


@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.99])
@pytest.mark.parametrize(("successes", "n"), [(0, 1), (1, 1), (0, 360), (360, 360), (1, 1000), (930, 1000), (180, 360)])
def test_wilson_agrees_with_scipy(successes, n, confidence):
    theirs = stats.binomtest(successes, n).proportion_ci(confidence, method="wilson")
    assert wilson(successes, n, confidence) == pytest.approx((theirs.low, theirs.high), abs=1e-12)


def test_wilson_of_nothing_and_at_the_ends():
    assert wilson(0, 0) == (0.0, 1.0)
    assert wilson(0, 50)[0] == 0.0
    assert wilson(50, 50)[1] == 1.0
    low, high = wilson(5, 10)
    assert low + high == pytest.approx(1)
    assert (low, high) == pytest.approx((0.2366, 0.7634), abs=1e-4)  # Wilson (1927) by hand, z = 1.96


@pytest.mark.parametrize("arguments", [(5, 4), (-1, 4), (1, 4, 1.0), (1, 4, 0.0)])
def test_wilson_refuses(arguments):
    with pytest.raises(UserError):
        wilson(*arguments)


def test_bootstrap_agrees_with_scipy():
    x = np.random.default_rng(1).gamma(2.0, size=60)
    for statistic in (np.mean, np.median):
        theirs = stats.bootstrap((x,), statistic, method="percentile", n_resamples=9999, rng=np.random.default_rng(2)).confidence_interval
        assert bootstrap(x, statistic) == pytest.approx((theirs.low, theirs.high), abs=0.03)  # both are drawn; the interval is 0.7 wide


def test_bootstrap_of_a_large_sample_is_the_normal_interval():
    x = np.random.default_rng(3).normal(size=4000)
    half = 1.96 * x.std() / np.sqrt(len(x))
    assert bootstrap(x, n_resamples=2000) == pytest.approx((x.mean() - half, x.mean() + half), abs=0.003)


def test_bootstrap_is_repeatable_and_knows_its_ends():
    x = [0.1, 0.5, 0.9]
    assert bootstrap(x) == bootstrap(x)
    assert bootstrap(x, seed=1, n_resamples=50) != bootstrap(x, seed=2, n_resamples=50)
    assert bootstrap([0.4]) == pytest.approx((0.4, 0.4))
    assert bootstrap(x)[0] >= 0.1
    with pytest.raises(UserError, match="no values"):
        bootstrap([])
    with pytest.raises(UserError, match="n_resamples"):
        bootstrap(x, n_resamples=0)


@pytest.mark.parametrize("n", [2, 3, 4, 5, 12, 31])
@pytest.mark.parametrize("confidence", [0.5, 0.95, 0.999])
def test_student_is_scipys_interval(n, confidence):
    x = np.random.default_rng(n).gamma(2.0, size=n)
    theirs = stats.t.interval(confidence, n - 1, loc=x.mean(), scale=stats.sem(x))
    assert student(x, confidence) == pytest.approx(theirs, rel=1e-9)


def test_student_by_hand_and_at_its_ends():
    assert student([1.0, 2.0, 3.0]) == pytest.approx((2 - 4.302653 / 3**0.5, 2 + 4.302653 / 3**0.5), abs=1e-6)
    assert student([4.0, 4.0, 4.0]) == (4.0, 4.0)
    assert student([4.0]) == (-math.inf, math.inf)
    with pytest.raises(UserError, match="no values"):
        student([])
    with pytest.raises(UserError, match="confidence: 1"):
        student([1.0, 2.0], confidence=1)


def test_results_and_statistics_need_no_torch():
    code = "import sys, robnas.results, robnas.statistics, robnas.attacks.summary; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
