"""Membership attacks without a Trainer: what they score, what they may see, what becomes of models that try to confuse."""

import pytest
import torch
from torch import nn

from membership_victims import remembered, untrained
from robnas.attacks.hopskipjump import boundary_distance
from robnas.attacks.membership import Confidence, HopSkipJumpDistance, Loss, Membership, NoiseRobustness
from robnas.attacks.membership.loss import log_probability
from robnas.attacks.victim import Victim
from robnas.errors import UserError
from small_victims import Linear, trained

SMALL = {"steps": 2, "initial_evaluations": 10, "max_evaluations": 20}


def attacks() -> list[Membership]:
    return [Confidence(), Confidence("prediction"), Loss(), NoiseRobustness(copies=6), HopSkipJumpDistance(**SMALL)]


names = [f"{a.name}-{getattr(a, 'of', '')}" for a in attacks()]
each = pytest.mark.parametrize("attack", attacks(), ids=names)


@each
def test_what_was_never_trained_has_no_members(attack):
    model, x, y, member = untrained()
    found = attack(model, x, y, member=member).auc()
    assert found.ci[0] <= 0.5 <= found.ci[1]
    assert found.ci[1] - found.ci[0] < 0.3


@pytest.mark.parametrize("attack", [NoiseRobustness(sigmas=[0.1], copies=6), HopSkipJumpDistance(**SMALL)], ids=["noise", "distance"])
def test_the_numbers_that_name_random_streams_tell_nothing(attack):
    """Members are numbered from 0, non-members of the test set from the end of the training set; the images are of one kind."""
    g = torch.Generator().manual_seed(0)
    x, member = torch.rand(600, 3, 4, 4, generator=g, dtype=torch.float64), torch.arange(600) % 2 == 0
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(48, 5, dtype=torch.float64))
    low, high = attack(model, x, index=torch.arange(600) // 2 + 50_000 * ~member, member=member).auc().ci
    assert low <= 0.5 <= high
    assert high - low < 0.1


@each
def test_what_remembers_gives_its_members_away(attack):
    model, x, y, member = remembered()
    r = attack(model, x, y, member=member)
    assert bool(r.correct[member].all())
    assert float(r.correct[~member].double().mean()) < 0.9
    assert r.auc().ci[0] > 0.5
    assert attack(model, x, y, member=~member).auc().value == pytest.approx(1 - r.auc().value)  # signed


def test_scores_are_what_they_say():
    model, x, y = trained()
    x, y = x[:20], y[:20]
    p = model(x).softmax(1).detach()
    own = p.gather(1, y[:, None])[:, 0]
    assert torch.allclose(Confidence()(model, x, y).score, own, rtol=1e-9)
    assert torch.allclose(Confidence("prediction")(model, x, y).score, p.amax(1), rtol=1e-9)
    r = Loss()(model, x, y)
    assert torch.allclose(r.score, own.log(), rtol=1e-6)
    assert torch.allclose(r.loss, -own.log(), rtol=1e-6)
    assert r.queries.tolist() == [1] * 20
    near = boundary_distance(model, x, y, seed=3, **SMALL)
    r = HopSkipJumpDistance(**SMALL)(model, x, y, seed=3)
    assert torch.equal(r.score, near.distance)
    assert torch.equal(r.queries, near.queries)


def test_the_loss_keeps_digits_that_the_probability_has_lost():
    logits = torch.tensor([[0.0, -30.0], [0.0, -40.0], [0.0, 200.0], [0.0, 0.5]])
    p = logits.softmax(1)
    assert p[0, 0] == p[1, 0] == 1
    exact = logits.double().log_softmax(1)[:, 0]
    found = log_probability(p, torch.zeros(4, dtype=torch.int64))
    assert torch.allclose(found[[0, 1, 3]], exact[[0, 1, 3]], rtol=1e-4)
    assert found[1] > found[0]
    assert found[2] == -torch.inf


def test_noise_on_a_line():
    """P(label kept) = Φ(margin / σ); an input with another label than its own is below all others."""
    model = Linear(torch.tensor([1.0, 0.0], dtype=torch.float64), -0.5)  # class 0 where the first pixel is above ½
    x = torch.tensor([[0.5], [0.6], [0.7], [0.4]], dtype=torch.float64) + torch.tensor([[1e-9]])
    x = torch.cat([x, torch.full_like(x, 0.5)], 1).view(4, 2, 1, 1)
    r = NoiseRobustness(sigmas=[0.1], copies=1000)(model, x, torch.zeros(4, dtype=torch.int64))
    assert r.score.tolist()[:3] == pytest.approx([0.5, 0.8413, 0.9772], abs=0.05)
    assert r.score[3] == -1
    assert r.queries.tolist() == [1001] * 4


def test_the_distance_may_be_told_in_another_norm():
    model, x, y = trained()
    x, y = x[:10], y[:10]
    wide, most = (HopSkipJumpDistance(**SMALL, measured=m)(model, x, y) for m in ("l2", "linf"))
    adv = boundary_distance(model, x, y, **SMALL).x_adv
    assert torch.allclose(most.score, (adv - x).flatten(1).abs().amax(1))
    assert bool((most.score[most.correct] < wide.score[wide.correct]).all())


@each
def test_results_do_not_depend_on_the_batch(attack):
    model, x, y = trained()
    x, y, index = x[:20], y[:20], torch.arange(20) + 100
    whole, single, some = (attack(model, x, y, index=index, seed=1, batch_size=b) for b in (64, 1, 16))
    for other in (single, some):
        assert torch.allclose(whole.score, other.score, rtol=0, atol=1e-9)
        assert torch.equal(whole.queries, other.queries)
    alone = attack(model, x[5:6], y[5:6], index=index[5:6], seed=1)
    assert torch.allclose(alone.score, whole.score[5:6], rtol=0, atol=1e-9)


@pytest.mark.parametrize("attack", [NoiseRobustness(copies=3), HopSkipJumpDistance(**SMALL)], ids=["noise", "distance"])
def test_label_only_attacks_ask_for_labels_only(attack, monkeypatch):
    asked = []
    monkeypatch.setattr(Victim, "white_box", lambda *args: pytest.fail("white box"))
    box = Victim.black_box
    monkeypatch.setattr(Victim, "black_box", lambda self, s, answers="score", eot=1: asked.append(answers) or box(self, s, answers, eot))
    model, x, y = trained()
    attack(model, x[:4], y[:4])
    assert set(asked) == {"label"}


def test_whoever_may_see_labels_is_refused_scores():
    class Peeks(Membership):
        access = "label"

        def score(self, victim, s):
            return victim.scores(s.x).amax(1)

    model, x, y = trained()
    with pytest.raises(UserError, match="labels only"):
        Peeks()(model, x[:4], y[:4])


class Dark(nn.Module):
    """No numbers on every third input."""

    def __init__(self, x):
        super().__init__()
        self.model, self.marks = trained()[0], x[::3, :, 0, 0].sum(1)

    def forward(self, x):
        dark = (x[:, :, 0, 0].sum(1)[:, None] == self.marks).any(1)
        return torch.where(dark[:, None], torch.nan, self.model(x))


@each
def test_what_errors_is_in_no_n(attack):
    _, x, y = trained()
    x, y = x[:30].clone(), y[:30]
    x[:, 0, 0, 0] = torch.linspace(0, 1, 30, dtype=torch.float64)  # each its own mark
    member = torch.arange(30) < 15
    r = attack(Dark(x), x, y, member=member)
    assert r.errored[::3].all()
    assert r.score.isnan().equal(r.errored)
    outcomes = {k: v.numpy() for k, v in r.outcomes().items()}
    n = int((~r.errored).sum())
    assert n <= 20
    numbers = attack.numbers(outcomes)
    assert numbers["auc"].n == numbers["overfitting_gap"].n == n
    assert sum(count for _, count in attack.proportions(outcomes).values()) == n
    fine = ~r.errored
    clean = attack(trained()[0], x[fine], y[fine], index=torch.arange(30)[fine], member=member[fine])
    assert r.auc().value == pytest.approx(clean.auc().value)


def test_an_input_that_errors_has_no_distance_in_any_norm_and_is_not_filtered_away():
    _, x, y = trained()
    x, y = x[:12].clone(), y[:12]
    x[:, 0, 0, 0] = torch.linspace(0, 1, 12, dtype=torch.float64)
    r = HopSkipJumpDistance(**SMALL, measured="linf", confidence=[0.0, 1.0])(Dark(x), x, y, member=torch.zeros(12, dtype=torch.bool))
    assert r.kept["distance"].isnan().equal(r.errored)
    assert r.errored[::3].all()
    assert r.eligible.all()  # a row's `eligible` counts those that errored


def test_all_labels_wrong():
    model, x, _ = trained()
    wrong = (model(x).argmax(1) + 1) % 10
    x, wrong, member = x[:40], wrong[:40], torch.arange(40) % 2 == 0
    for attack in (NoiseRobustness(copies=2), HopSkipJumpDistance(**SMALL)):
        r = attack(model, x, wrong, member=member)
        assert r.score.unique().tolist() == [-1 if isinstance(attack, NoiseRobustness) else 0]
        assert not r.correct.any()
        found = r.auc()
        assert found.value == 0.5
        assert found.ci[0] < 0.4
        assert found.ci[1] > 0.6


def test_further_tensors_reach_the_author_cut_to_the_batch():
    class Given(Membership):
        kept = ("twice",)

        def score(self, victim, s):
            s.twice = 2 * s.prior
            assert s.prior.shape == (len(s.x), 3)
            assert s.index.tolist() == s.prior[:, 0].tolist()
            return victim.scores(s.x).amax(1)

    model, x, y = trained()
    prior = torch.arange(10.0)[:, None].repeat(1, 3)
    r = Given()(model, x[:10], y[:10], batch_size=4, prior=prior)
    assert r.kept["twice"].shape == (10, 3)
    assert "twice" in r.outcomes()
    with pytest.raises(UserError, match="prior: 9 of them for 10 inputs"):
        Given()(model, x[:10], y[:10], prior=prior[:9])


def test_only_sure_non_members_are_looked_at_where_that_is_asked_for():
    model, x, y = trained()
    member = torch.arange(200) < 100
    r = Confidence(confidence=[0.99, 1 - 1e-6])(model, x, y, member=member)
    p = model(x).softmax(1).amax(1)
    assert torch.equal(r.eligible, member | (p >= 0.99) & (p <= 1 - 1e-6))
    assert 0 < r.eligible[~member].sum() < 100


def test_the_caller_may_leave_out_labels_and_membership():
    model, x, _ = trained()
    r = Loss()(model, x[:5])
    assert r.correct.all()
    assert "membership unknown" in repr(r)
    with pytest.raises(UserError, match="member=mask"):
        r.auc()
    assert len(Loss()(model, x[:0]).score) == 0


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Confidence("lable"), "label"),
        (lambda: Confidence(members="runs"), "run"),
        (lambda: Confidence(non_members="valid"), "validation"),
        (lambda: Confidence(max_inputs=0), "max_inputs: 0"),
        (lambda: Confidence(confidence=[0.9, 0.1]), "low < high"),
        (lambda: NoiseRobustness(sigmas=[]), "sigmas"),
        (lambda: NoiseRobustness(sigmas=[0.1, -1]), "sigmas: -1"),
        (lambda: NoiseRobustness(copies=0), "copies: 0"),
        (lambda: HopSkipJumpDistance(steps=0), "steps: 0"),
        (lambda: HopSkipJumpDistance(measured="l3"), "norm"),
    ],
)
def test_wrong_arguments_are_named(make, says):
    with pytest.raises(UserError, match=says):
        make()
