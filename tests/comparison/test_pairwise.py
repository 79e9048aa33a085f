"""Whether models of one family break more alike than those of another: by hand, by SciPy, and by what happens in many studies."""

import itertools

import numpy as np
import pytest

from robnas.common import phi
from robnas.comparison import alike, least_exchanged

FAMILIES = ("nas",) * 4 + ("manual",) * 4


def test_by_hand():
    table = np.full((8, 8), 0.1)
    table[:4, :4], table[4:, 4:] = 0.6, 0.2
    table[0, 1] = table[1, 0] = 0.9
    found = alike(table, FAMILIES, margin=0.45)
    assert found.mean == pytest.approx((0.65, 0.2))
    assert (found.value, found.models) == (pytest.approx(0.45), (4, 4))
    pseudo = []
    for i in range(4):
        rest = [table[a, b] for a, b in itertools.combinations([k for k in range(4) if k != i], 2)]
        pseudo.append(4 * 0.65 - 3 * np.mean(rest))
    assert found.error == pytest.approx(np.std(pseudo, ddof=1) / 2)
    assert found.p == least_exchanged(4, 4)
    assert found.p_margin == pytest.approx(1)


def test_it_does_not_grow_with_the_family():
    """Ten models and four, any two of them as alike: no difference."""
    found = alike(np.full((14, 14), 0.3), ("nas",) * 10 + ("manual",) * 4)
    assert (found.value, found.p) == (pytest.approx(0), 1)


def test_models_that_break_on_all_or_nothing_are_left_out():
    rng = np.random.default_rng(0)
    broken = rng.random((9, 50)) < 0.5
    broken[0] = True
    found = alike(phi(broken), ("nas", *FAMILIES))
    assert found.models == (4, 4)
    assert alike(phi(broken[:6]), ("nas", *FAMILIES)[:6]).few.startswith("too few models: 4 nas, 1 manual")


def exchangeable(rng, m, n):
    return rng.random((m + n, 300)) < rng.beta(2, 2, 300)


def other_rates(rng, m, n):
    q = rng.normal(size=300) + np.r_[np.full(m, 0.75), np.full(n, -0.75)][:, None] + rng.normal(0, 0.5, (m + n, 1))
    return rng.random((m + n, 300)) < 1 / (1 + np.exp(-q))


def other_inputs(rng, m, n):
    """Each family on inputs of its own; within, models hang together more or less."""
    q = rng.normal(0, 1.5, (2, 300))[[0] * m + [1] * n] * rng.uniform(0.5, 1.5, (m + n, 1))
    return rng.random((m + n, 300)) < 1 / (1 + np.exp(-q))


@pytest.mark.parametrize("drawn", [exchangeable, other_rates, other_inputs])
@pytest.mark.parametrize(("m", "n", "draws"), [(10, 7, 40), (4, 4, 150)])
def test_families_that_break_alike_are_rarely_called_different(drawn, m, n, draws):
    rng, rejected, held = np.random.default_rng(1), 0, 0
    for _ in range(draws):
        found = alike(phi(drawn(rng, m, n)), ("nas",) * m + ("manual",) * n)
        rejected += found.p <= 0.05
        held += found.low <= 0 <= found.high
    assert rejected / draws <= 0.1
    assert held / draws >= 0.9
