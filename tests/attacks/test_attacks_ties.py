"""Where two images are equally good the older one stays, and what stands exactly on a threshold: as the algorithms are printed."""

import pytest
import torch

from robnas.attacks import APGD, PGD, HopSkipJump, Square, State, boundary
from robnas.attacks.apgd import checkpoints
from robnas.attacks.goal import Goal
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


def test_the_last_step_of_hopskipjump_is_projected_and_counts(monkeypatch):
    w = torch.randn(48, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    x = images(6, side=4) * 0.4 + 0.3
    model, attack = Linear(w, b=-float((x.flatten(1) @ w).mean())), HopSkipJump(1, 100)
    after = attack(model, x).distance
    monkeypatch.setattr(boundary, "jump", lambda phi, s, direction, size: s.x_t)
    assert (after < 0.97 * attack(model, x).distance).all()
