"""Two models input by input, models of one size, and places that are ties."""

import itertools
import math

import numpy as np
import pytest

from robnas.comparison import matched, paired, places
from robnas.comparison.inputs import mcnemar
from robnas.comparison.matching import _nearest
from robnas.comparison.ranking import gap_of
from robnas.errors import UserError

stats = pytest.importorskip("scipy.stats")


@pytest.mark.parametrize(("x", "y"), [(0, 0), (0, 5), (3, 9), (7, 7), (40, 80), (2000, 2100)])
def test_mcnemar_is_the_exact_binomial_test(x, y):
    expected = stats.binomtest(x, x + y, 0.5).pvalue if x + y else 1.0
    assert mcnemar(x, y) == mcnemar(y, x) == pytest.approx(expected, rel=1e-9)


def test_paired_outcomes_by_hand():
    a = np.array([1, 1, 1, 1, 0, 0, 1, 1], dtype=bool)
    b = np.array([0, 0, 1, 1, 0, 1, 0, 0], dtype=bool)
    found = paired(a, b)
    assert (found.n, found.first_only, found.second_only, found.value) == (8, 4, 1, 3 / 8)
    assert found.p == pytest.approx(2 * (1 + 5) / 32)
    assert found.low <= 3 / 8 <= found.high


def test_paired_distances_leave_out_what_has_no_number():
    found = paired([1.0, 2.0, math.nan, math.inf], [0.5, 1.0, 3.0, math.inf])
    assert (found.n, found.value, found.p, found.first_only) == (2, 0.75, None, None)
    assert paired(np.array([], dtype=bool), np.array([], dtype=bool)).value is None
    with pytest.raises(UserError, match="shapes"):
        paired([1.0, 2.0], [1.0])


def test_nearest_pairs_are_the_best_of_all():
    rng = np.random.default_rng(0)
    for _ in range(30):
        x, y = sorted(rng.integers(0, 12, rng.integers(0, 5)).tolist()), sorted(rng.integers(0, 12, rng.integers(0, 5)).tolist())
        chosen = _nearest(x, y, 2)
        assert all(abs(x[i] - y[j]) <= 2 for i, j in chosen)
        assert len({i for i, _ in chosen}) == len({j for _, j in chosen}) == len(chosen)
        assert (len(chosen), -sum(abs(x[i] - y[j]) for i, j in chosen)) == best(x, y)


def best(x, y):
    """Every way of giving each x a y or nothing."""
    found = (0, 0)
    for ways in itertools.product([None, *range(len(y))], repeat=len(x)):
        used = [j for j in ways if j is not None]
        if len(set(used)) == len(used) and all(abs(x[i] - y[j]) <= 2 for i, j in enumerate(ways) if j is not None):
            found = max(found, (len(used), -sum(abs(x[i] - y[j]) for i, j in enumerate(ways) if j is not None)))
    return found


def test_a_gap_that_size_explains_is_gone_among_models_of_one_size():
    size = {f"n{i}": float(i) for i in range(10)} | {f"m{i}": i + 3.0 for i in range(10)}
    values = {m: [s] for m, s in size.items()}  # vulnerability is size
    families = {m: "nas" if m[0] == "n" else "manual" for m in size}
    found = matched(values, families, size, within=0.5)
    assert (len(found.pairs), found.of, found.value, found.p) == (7, 10, 0, 1)
    assert ("n3", "m0") in found.pairs


def test_families_of_other_sizes_have_no_pairs():
    size = {f"n{i}": 3.0 + i / 10 for i in range(8)} | {f"m{i}": 20.0 + i for i in range(7)}
    found = matched({m: [1.0] for m in size}, {m: "nas" if m[0] == "n" else "manual" for m in size}, size, within=1)
    assert (found.pairs, found.value) == ((), None)
    assert found.few == "too few models: 0 pairs of 8 nas and 7 manual are alike; at least 6 are needed"


def test_six_pairs_are_enough_and_five_are_not():
    for n, few in ((6, False), (5, True)):
        size = {f"n{i}": float(i) for i in range(n)} | {f"m{i}": float(i) for i in range(n)}
        found = matched(
            {m: [float(m[0] == "n") + s / 100] for m, s in size.items()}, {m: "nas" if m[0] == "n" else "manual" for m in size}, size, 0
        )
        assert bool(found.few) == few
    assert found.p is None


def test_places_nearer_than_the_gap_are_shared():
    values = {"a": [0.9], "b": [0.85], "c": [0.8], "d": [0.5]}
    assert [(p.model, str(p)) for p in places(values, gap=0.06)] == [("a", "1–2"), ("b", "1–3"), ("c", "2–3"), ("d", "4")]
    assert [str(p) for p in places(values, gap=0)] == ["1", "2", "3", "4"]
    assert {str(p) for p in places(values)} == {"1–4"}  # one seed each: nothing is known of noise


def test_the_gap_of_places_comes_from_seeds_or_from_errors():
    seeds = {"a": [1.0, 3.0], "b": [2.0, 4.0]}  # s² = 2 with 2 degrees of freedom; √2 · √(2 / 2)
    assert gap_of(seeds) == pytest.approx((stats.t.ppf(0.975, 2) + stats.t.ppf(0.8, 2)) * math.sqrt(2))
    alone = {"a": [1.0], "b": [2.0]}
    assert gap_of(alone, {"a": 0.3, "b": 0.4}) == pytest.approx((1.959964 + 0.841621) * math.sqrt(0.25), abs=1e-5)
    assert gap_of(alone, {"a": 0.3}) == math.inf
