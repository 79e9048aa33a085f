"""All attacks in one number, one family against a number, and measures that go together: by hand and against SciPy."""

import numpy as np
import pytest

from robnas.comparison import against, connected, superiority

stats = pytest.importorskip("scipy.stats")


def families(m, n):
    return {f"n{i}": "nas" for i in range(m)} | {f"m{i}": "manual" for i in range(n)}


def values(x, y):
    return {f"n{i}": [v] for i, v in enumerate(x)} | {f"m{i}": [v] for i, v in enumerate(y)}


@pytest.mark.parametrize(("m", "n"), [(4, 4), (6, 5)])
def test_of_one_attack_it_is_mann_and_whitneys_test(m, n):
    rng = np.random.default_rng(m)
    x, y = rng.normal(0.8, 1, m), rng.normal(0, 1, n)
    theirs = stats.mannwhitneyu(x, y, method="exact")
    found = superiority([values(x, y)], families(m, n))
    assert found.value == pytest.approx(theirs.statistic / (m * n))
    assert found.p == pytest.approx(theirs.pvalue)
    assert 0 <= found.low <= found.value <= found.high <= 1


def test_attacks_count_alike_whatever_their_unit_and_who_lacks_one_is_in_no_pair_there():
    x, y = [1.0, 2.0, 3.0, 4.0], [0.5, 1.5, 2.5, 3.5]
    one = values(x, y)
    other = {model: [1000 * v[0]] for model, v in values(y, x).items() if model != "n3"}
    found = superiority([one, other], families(4, 4))
    assert found.each == pytest.approx((10 / 16, 3 / 12))  # n3, which is gone, would have been above m0, m1 and m2
    assert found.value == pytest.approx((10 / 16 + 3 / 12) / 2)
    assert found.attacks == 2


def test_all_ties_are_a_half_and_no_evidence():
    found = superiority([values([1] * 5, [1] * 5)] * 2, families(5, 5))
    assert (found.value, found.p) == (0.5, 1.0)
    assert found.low == pytest.approx(1 - found.high)
    assert found.low < 0.3


def test_families_that_are_apart_have_an_interval():
    """Wilson's ends are where value and θ are z standard errors apart; 0 and 1 have an interval, too."""
    found = superiority([values([0.9, 0.91, 0.92, 0.93], [0.5, 0.6, 0.7, 0.8])], families(4, 4))
    assert (found.value, found.high) == (1, 1)
    t = found.low
    assert 0.5 < t < 0.8
    error = (t * (1 - t) * (1 + 3 * (1 - t) / (2 - t) + 3 * t / (1 + t)) / 16) ** 0.5
    assert 1 - t == pytest.approx(1.959964 * error, rel=1e-6)


@pytest.mark.parametrize(("m", "n"), [(4, 4), (10, 7)])
@pytest.mark.parametrize("true", [0.5, 0.76, 0.92])
@pytest.mark.parametrize(("attacks", "rho"), [(1, 1.0), (6, 0.8)])
def test_the_interval_of_pairs_holds_the_truth(m, n, true, attacks, rho, monkeypatch):
    monkeypatch.setattr("robnas.comparison.orders._exchanged", lambda *args: 1.0)  # every exchange of each study would take a minute
    rng, held, draws = np.random.default_rng(0), 0, 300
    gap = 2**0.5 * stats.norm.ppf(true)
    for _ in range(draws):
        common = rng.normal(size=m + n)
        rows = rho**0.5 * common + (1 - rho) ** 0.5 * rng.normal(size=(attacks, m + n)) + np.r_[np.full(m, gap), np.zeros(n)]
        found = superiority([values(row[:m], row[m:]) for row in rows], families(m, n))
        held += found.low <= true <= found.high
        assert found.low < found.value or found.value == 0
        assert found.high > found.value or found.value == 1
    assert held / draws >= 0.92


def test_attacks_that_order_models_each_in_its_own_way_tell_more_than_one():
    rng = np.random.default_rng(0)
    one = rng.normal(size=20)
    alike = superiority([values(one[:10], one[10:])] * 6, families(10, 10))
    alone = superiority([values(one[:10], one[10:])], families(10, 10))
    assert (alike.low, alike.high) == (alone.low, alone.high)
    rows = [rng.permutation(one) for _ in range(6)]
    apart = superiority([values(row[:10], row[10:]) for row in rows], families(10, 10))
    assert apart.high - apart.low < 0.85 * (alone.high - alone.low)


def test_too_few_or_nothing_in_common():
    assert superiority([values([1, 2], [1, 2, 3, 4])], families(2, 4)).few.startswith("too few models: 2 nas, 4 manual")
    apart = [{f"n{i}": [1.0] for i in range(4)}, {f"m{i}": [1.0] for i in range(4)}]
    assert superiority(apart, families(4, 4)).few == "no attack that both families have"


def test_one_family_against_a_number():
    found = against({f"n{i}": [0.5 + v] for i, v in enumerate([0.1, 0.2, 0.3, 0.1, 0.2, 0.3])}, at=0.5)
    assert (found.models, found.mean, found.value, found.p) == (6, pytest.approx(0.7), pytest.approx(0.2), 2 / 64)
    assert 0 < found.low < 0.2 < found.high
    assert against({"a": [1.0], "b": [2.0]}, at=0).few == "too few models: 2; at least 6 are needed"


def test_connection_is_the_mean_of_scipys_taus_within_families():
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(3, 15)) + rng.normal(size=15)
    rows[1, 4] = np.nan
    attacks = [values(row[:8], row[8:]) for row in rows]
    expected = []
    for part in (slice(0, 8), slice(8, 15)):
        taus = [stats.kendalltau(rows[i, part], rows[j, part], nan_policy="omit").statistic for i, j in ((0, 1), (0, 2), (1, 2))]
        expected.append(np.mean(taus))
    found = connected(attacks, None, families(8, 7))
    assert found.value == pytest.approx((8 * expected[0] + 7 * expected[1]) / 15)
    assert (found.models, found.pairs) == (15, 3)


def test_what_families_differ_in_connects_nothing():
    """Two measures that only tell the families apart: within each there is no order in common."""
    rng = np.random.default_rng(1)
    family = np.r_[np.full(10, 10.0), np.zeros(10)]
    rows = [family + rng.normal(size=20) for _ in range(2)]
    found = connected([values(r[:10], r[10:]) for r in rows[:1]], [values(r[:10], r[10:]) for r in rows[1:]], families(10, 10))
    assert stats.kendalltau(*rows).statistic > 0.4
    assert found.low < 0 < found.high
    assert found.p > 0.05


def test_one_order_is_a_connection():
    row = list(range(12))
    found = connected([values(row, [])], [values(row, []), values([v**2 for v in row], [])], families(12, 0))
    assert (found.value, found.p) == (1, 1 / 9991)
    assert connected([values(row, [])], [], families(12, 0)).few
    assert connected([values(row[:5], [])] * 2, None, families(5, 0)).few == "too few models: no family has 6"


def test_attacks_that_go_together_are_no_evidence_for_a_probe():
    """A probe that has nothing to do with six attacks, which are nearly one: level 5%. Shuffling each by itself rejects 30%."""
    rng, draws, rejected = np.random.default_rng(3), 100, 0
    for _ in range(draws):
        z, probe = rng.normal(size=17), rng.normal(size=17)
        attacks = [values(*np.split(0.9**0.5 * z + 0.1**0.5 * rng.normal(size=17), [10])) for _ in range(6)]
        rejected += connected([values(probe[:10], probe[10:])], attacks, families(10, 7), n=99).p <= 0.05
    assert rejected / draws <= 0.12


def test_a_connection_is_tested_against_a_margin_too():
    row = list(range(12))
    strong = connected([values(row, [])], [values(row, [])], families(12, 0), margin=0.2)
    assert strong.p_margin == strong.p == 1 / 9991
    rng = np.random.default_rng(0)
    weak = connected([values(rng.normal(size=12), [])], [values(rng.normal(size=12), [])], families(12, 0), margin=-0.2)
    assert weak.p_margin > 0.05
