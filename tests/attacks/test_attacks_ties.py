"""Where two images are equally good the older one stays, and what stands exactly on a threshold: as the algorithms are printed."""

import numpy as np
import pytest
import torch

from robnas.attacks import APGD, PGD, HopSkipJump, Square, State, boundary
from robnas.attacks.apgd import checkpoints
from robnas.attacks.goal import Goal
from robnas.attacks.hopskipjump import settle
from robnas.attacks.result import EvasionResult
from small_victims import Linear, images, trained


class Scripted:
    """A victim whose f at the t-th question is script[t], whatever it is shown; its gradient points there and back by turns."""

    def __init__(self, script, s):
        self.script, self.s = script, s

    def logits(self):
        f = torch.full((len(self.s),), float(self.script[self.s.t]), dtype=torch.float64)
        return torch.stack([torch.zeros_like(f), f], 1)

    def logits_and_gradient(self, x, goal):
        return self.logits(), torch.full_like(x, (-1.0) ** self.s.t)

    def scores(self, x):
        return self.logits().softmax(1)


def course(attack, script):
    """One input, label 0, f < 0 everywhere: it never leaves → State, the images asked."""
    s = State(images(1, side=4) * 0.2 + 0.4, Goal(torch.tensor([0])), torch.tensor([0]))
    victim, asked = Scripted(script, s), []
    s.x_t = attack.start(s)
    for s.t in range(len(script)):
        asked.append(s.x_t)
        s.x_t = attack.step(victim, s)
    return s, asked


def test_apgd_keeps_the_first_of_equal_images():
    """Algorithm 1, line 10 of Croce & Hein: x_max is replaced only where f(x_{k+1}) > f_max."""
    s, asked = course(APGD(0.05, 16), [-3, -2, -2, -2.5])
    assert torch.equal(s.x_max, asked[1])
    assert not torch.equal(asked[1], asked[2])


@pytest.mark.parametrize(("script", "share"), [([-9, -8, -7, -6, -6], 1), ([-9, -8, -7, -7, -7], 1 / 2)])
def test_apgd_halves_below_the_share_of_rises_not_at_it(script, share):
    """Condition 1: Σ 1[f rises] < ρ (w_j − w_{j−1}). Of 4 steps ρ = 0.75 asks for 3 rises: with 3 η stays, with 2 it is halved."""
    assert checkpoints(16)[4] == 4
    s, _ = course(APGD(0.05, 16), script)
    assert float(s.eta) == pytest.approx(2 * 0.05 * share)


@pytest.mark.parametrize(("last", "share"), [(-9, 1 / 2), (-8, 1)])
def test_apgd_halves_where_f_max_stays_equal_unless_it_has_just_halved(last, share):
    """Condition 2 alone, ρ = 0: η and f_max are what they were at the last checkpoint, here step 0."""
    s, _ = course(APGD(0.05, 16, rho=0), [-9, -9, -9, -9, last])
    assert float(s.eta) == pytest.approx(2 * 0.05 * share)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_square_keeps_the_first_of_equal_images(norm):
    """Algorithm 1 of Andriushchenko et al.: x is replaced only where the loss is better."""
    s, asked = course(Square(0.05, 100, norm=norm), [-2, -2, -2, -3])
    assert torch.equal(s.x_best, asked[0])
    s, asked = course(Square(0.05, 100, norm=norm), [-2, -2, -1.5, -3])
    assert torch.equal(s.x_best, asked[2])


def test_what_was_wrong_before_and_resists_ends_with_the_last_image():
    """An input that is attacked though its clean image is misclassified, towards a class it never gets: not robust, but it was moved."""
    model, x, y = trained()
    wrong = model(x).argmax(1) != y
    r = PGD(2 / 255, steps=2, n_restarts=2, goal="least_likely", only_correct=False)(model, x[wrong], y[wrong])
    assert len(r.success) > 0
    assert not (r.success | r.robust | r.correct).any()
    assert (r.x_adv != x[wrong]).flatten(1).any(1).all()
    assert torch.equal(r.prediction, model(r.x_adv).argmax(1))


def test_an_error_in_a_smaller_ball_is_nothing_to_inherit():
    """The first input broke there, the second ended on a third class (no target, but wrong), the third gave no numbers, the last stood."""
    x, label = images(4), torch.zeros(4, dtype=torch.int64)
    clean = torch.tensor([[1.0, 0.0, 0.0]]).repeat(4, 1)
    smaller, larger = (EvasionResult.before(x, clean, Goal(label, label + 1), torch.arange(4), True) for _ in range(2))
    smaller.x_adv, smaller.prediction = 1 - x, torch.tensor([1, 2, 2, 0])
    smaller.success, smaller.errored, smaller.robust = (torch.arange(4) == n for n in (0, 2, 3))
    larger.inherit(smaller)
    assert larger.success.tolist() == [True, False, False, False]
    assert larger.robust.tolist() == [False, False, True, True]
    assert larger.prediction.tolist() == [1, 2, 0, 0]
    assert torch.equal(larger.x_adv, torch.cat([1 - x[:2], x[2:]]))


def test_the_last_step_of_hopskipjump_is_projected_and_counts(monkeypatch):
    w = torch.randn(48, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    x = images(6, side=4) * 0.4 + 0.3
    model, attack = Linear(w, b=-float((x.flatten(1) @ w).mean())), HopSkipJump(1, 100)
    after = attack(model, x).distance
    monkeypatch.setattr(boundary, "jump", lambda phi, s, direction, size: s.x_t)
    assert (after < 0.97 * attack(model, x).distance).all()


def test_the_radius_drawn_from_is_that_of_the_norm():
    """ε, or from where on the ball holds all images: 1 in L∞, √d in L2 (d = 48)."""
    x = images(1, side=4)
    assert [PGD(eps, norm="l2").reach(x) for eps in (0.3, 5.0, torch.inf)] == pytest.approx([0.3, 5, 48**0.5])
    assert [PGD(eps).reach(x) for eps in (0.3, torch.inf)] == [0.3, 1]


def hand(n=2):
    s = State(images(n, side=4) * 0.2 + 0.4, Goal(torch.zeros(n, dtype=torch.int64)), torch.arange(n))
    s.x_t = s.best = s.x + 0.1
    return s


@pytest.mark.parametrize("always", [True, False])
def test_where_every_direction_answers_the_same_their_sum_is_the_estimate(always):
    """As in the authors' code: with φ̄ = ±1 taken off nothing would be left to go along."""
    s = hand()
    v = boundary.normal(lambda u, rows: torch.full((len(u),), always), s, torch.full((2,), 0.01, dtype=torch.float64), 10)
    s._draws = 0
    u = boundary.directions.gaussian(s.streams(10).flatten(), s.x).view(2, 10, -1)
    plain = (u / u.norm(dim=2, keepdim=True)).sum(1) * (1 if always else -1)
    assert torch.allclose(v.flatten(1), plain / plain.norm(dim=1, keepdim=True))


def test_what_is_found_settles_outside_the_boundary_where_the_goal_is_reached_there():
    s = hand()
    out = settle(lambda images: torch.tensor([True, False]), s)
    assert torch.allclose(out[0] - s.x[0], torch.full_like(s.x[0], 0.1 * (1 + torch.finfo(torch.float64).eps ** 0.5)), rtol=1e-12, atol=0)
    assert torch.equal(out[1], s.best[1])


def test_the_interval_of_the_median_by_hand():
    """n = 100: ranks ⌊50 − 9.8⌋ = 40 and 1 + ⌈50 + 9.8⌉ = 61, from 1."""
    yes = np.ones(100, dtype=bool)
    found = {"distance": np.arange(1.0, 101)[::-1], "success": yes, "correct": yes}
    assert HopSkipJump().numbers(found)["median_distance"] == (50.5, 100, (40.0, 61.0), "order statistics", ())


def test_the_first_estimate_looks_a_tenth_around_and_later_ones_as_far_as_theta_says(monkeypatch):
    """δ₁ = 0.1 whatever the distance; then √d θ of the distance, d = 48 and θ = 48^−1.5."""
    asked, normal = [], boundary.normal
    monkeypatch.setattr(boundary, "normal", lambda phi, s, delta, n: asked.append((delta, s.near)) or normal(phi, s, delta, n))
    w = torch.randn(48, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    x = images(3, side=4) * 0.4 + 0.3
    HopSkipJump(2, 20, 20)(Linear(w, b=-float((x.flatten(1) @ w).mean())), x)
    (first, _), (second, far) = asked
    assert first.tolist() == [0.1] * 3
    assert torch.allclose(second, far / 48)


def test_a_confidence_must_be_exceeded():
    logits = torch.tensor([[0.0, 0.0], [0.0, 0.1]], dtype=torch.float64)
    assert Goal(torch.tensor([0, 0]), confidence=0.5).reached(logits).tolist() == [False, True]
