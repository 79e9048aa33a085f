"""The likelihood ratio against hand-computed values, SciPy's normal, and what must not change it."""

import math

import pytest
import torch
from scipy.stats import norm

from robnas.attacks.membership import lira_scores as lira
from robnas.errors import UserError


def drawn(seed, n=400, s=32, gain=1.5):
    """Gaussian confidences: an input has its own difficulty, and its own number by which a model trained with it is surer."""
    g = torch.Generator().manual_seed(seed)
    hard = 3 * torch.randn(n, generator=g, dtype=torch.float64)
    gain = 2 * gain * torch.rand(n, generator=g, dtype=torch.float64)
    member = torch.rand(s + 1, n, generator=g) < 0.5
    phi = hard + gain * member + torch.randn(s + 1, n, generator=g, dtype=torch.float64)
    return phi[0], member[0], phi[1:], member[1:]


def auc(scores, member):
    inside, outside = scores[member], scores[~member]
    return float((inside[:, None] > outside).double().mean())


def test_confidence_by_hand():
    logits = torch.tensor([[2.0, 0.0, 0.0], [0.0, 1.0, 1.0]], dtype=torch.float64)
    expected = [2 - math.log(2), 1 - math.log(1 + math.e)]
    assert lira.confidence(logits, torch.tensor([0, 2])).tolist() == pytest.approx(expected, abs=1e-14)


def test_confidence_is_the_log_odds_of_softmax():
    logits, y = torch.randn(50, 10, dtype=torch.float64), torch.arange(50) % 10
    p = logits.softmax(1).gather(1, y[:, None])[:, 0]
    torch.testing.assert_close(lira.confidence(logits, y), (p / (1 - p)).log(), rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_confidence_is_not_rounded_where_probabilities_are(dtype):
    logits = torch.tensor([[200.0, -200.0, -200.0], [-200.0, 200.0, 0.0], [200.0, 199.0, 200.0]], dtype=dtype)
    expected = [400 - math.log(2), -400, -math.log1p(math.exp(-1))]
    assert lira.confidence(logits, torch.tensor([0, 0, 0])).tolist() == pytest.approx(expected, rel=1e-12)


def test_confidence_of_no_numbers_is_no_number():
    logits = torch.tensor([[float("nan"), 0.0], [0.0, float("nan")], [0.0, float("-inf")]])
    assert not lira.confidence(logits, torch.tensor([0, 0, 0])).isfinite().any()


def test_online_score_by_hand():
    phi = torch.tensor([[4.0], [6.0], [0.0], [2.0], [1.0]], dtype=torch.float64)
    member = torch.tensor([[True], [True], [False], [False], [False]])
    inside, outside = lira.fit(phi, member, "input"), lira.fit(phi, ~member, "input")
    assert (inside.mean, inside.std, inside.n) == (torch.tensor([5.0]), torch.tensor([2.0]).double().sqrt(), torch.tensor([2]))
    assert (outside.mean, outside.std) == (torch.tensor([1.0]), torch.tensor([1.0]))
    score = lira.online(torch.tensor([3.0]), inside, outside)
    assert score.item() == pytest.approx((-((3 - 5) ** 2) / (2 * 2) - math.log(2) / 2) - (-((3 - 1) ** 2) / 2), abs=1e-14)
    assert lira.offline(torch.tensor([3.0]), outside).item() == 2.0


def test_scores_agree_with_scipy():
    phi, _, shadows, member = drawn(0)
    inside, outside = lira.fit(shadows, member, "input"), lira.fit(shadows, ~member, "input")
    ratio = norm.logpdf(phi, inside.mean, inside.std) - norm.logpdf(phi, outside.mean, outside.std)
    torch.testing.assert_close(lira.online(phi, inside, outside), torch.from_numpy(ratio), rtol=1e-11, atol=1e-11)
    ours, theirs = lira.offline(phi, outside), torch.from_numpy(norm.cdf(phi, outside.mean, outside.std))
    torch.testing.assert_close(torch.special.ndtr(ours), theirs, rtol=1e-11, atol=1e-12)


def test_global_variance_is_that_about_each_inputs_own_mean():
    phi = torch.tensor([[0.0, 100.0], [2.0, 104.0], [1.0, 0.0]], dtype=torch.float64)
    among = torch.tensor([[True, True], [True, True], [True, False]])
    found = lira.fit(phi, among, "global")
    assert found.mean.tolist() == [1, 102]
    assert found.std.tolist() == pytest.approx([math.sqrt((1 + 1 + 0 + 4 + 4) / (2 + 1))] * 2)


@pytest.mark.parametrize(("shadows", "variance"), [(lira.FEW - 1, "global"), (lira.FEW, "input")])
def test_a_variance_of_its_own_takes_many_shadows(shadows, variance):
    _, _, phi, member = drawn(0, n=20, s=shadows)
    assert torch.equal(lira.fit(phi, member, "auto").std, lira.fit(phi, member, variance).std)


def test_the_order_of_shadows_changes_no_bit():
    _, _, phi, member = drawn(1)
    order = torch.randperm(len(phi), generator=torch.Generator().manual_seed(0))
    for variance in ("global", "input"):
        assert all(map(torch.equal, lira.fit(phi, member, variance), lira.fit(phi[order], member[order], variance)))


def test_too_few_shadows_with_an_input_give_it_no_score():
    phi = torch.tensor([[1.0, 1.0], [2.0, 3.0], [5.0, 7.0], [6.0, 9.0]], dtype=torch.float64)
    member = torch.tensor([[True, True], [False, True], [False, False], [False, False]])
    score = lira.online(torch.zeros(2), lira.fit(phi, member), lira.fit(phi, ~member))
    assert score.isnan().tolist() == [True, False]
    assert lira.offline(torch.zeros(2), lira.fit(phi, ~member)).isfinite().all()


def test_shadows_that_all_say_the_same_give_no_score():
    phi, member = torch.ones(4, 1), torch.tensor([[True], [True], [False], [False]])
    assert lira.online(torch.zeros(1), lira.fit(phi, member), lira.fit(phi, ~member)).isnan().all()
    assert lira.offline(torch.zeros(1), lira.fit(phi, ~member)).isnan().all()


def test_a_shadow_without_a_number_for_an_input_does_not_count():
    _, _, phi, member = drawn(2, n=6, s=12)
    spoiled = torch.cat([phi, torch.full((1, 6), torch.nan)])
    more = torch.cat([member, torch.ones(1, 6, dtype=torch.bool)])
    assert all(map(torch.equal, lira.fit(phi, member, "input"), lira.fit(spoiled, more, "input")))


def test_online_beats_offline_beats_the_bare_confidence_beats_chance():
    """What the shadows say of an input takes its difficulty away; those with it also tell whether membership shows at all."""
    found = []
    for seed in range(20):
        phi, truth, shadows, member = drawn(seed)
        inside, outside = lira.fit(shadows, member), lira.fit(shadows, ~member)
        found.append([auc(s, truth) for s in (lira.online(phi, inside, outside), lira.offline(phi, outside), phi)])
    online, offline, bare = torch.tensor(found).mean(0)
    assert online > offline + 0.01
    assert offline > bare + 0.15
    assert bare > 0.55


def test_an_unknown_variance_is_named():
    with pytest.raises(UserError, match=r"unknown variance 'own'.*global"):
        lira.fit(torch.zeros(2, 1), torch.ones(2, 1, dtype=torch.bool), "own")
