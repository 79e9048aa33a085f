"""The inner maximisation: what moves, what stays, and TRADES's loss by hand."""

import math

import pytest
import torch
from torch import nn

from robnas.attacks import APGD, PGD, Evasion
from robnas.attacks.goal import Goal
from robnas.attacks.state import State
from robnas.tasks.inner import maximise
from robnas.tasks.trades import Disagreement, divergence
from small_victims import Linear, convolutional, images

EPS = 8 / 255
Y = torch.arange(32) % 10
INDEX = torch.arange(100, 132)


def attack(**arguments):
    return PGD(**{"eps": EPS, "step_size": EPS / 4, "steps": 3, "n_restarts": 1} | arguments)


def moved(model, x, a=None, goal=None, seed=5):
    return maximise(a or attack(), model, x, goal or Goal(Y[: len(x)]), INDEX[: len(x)], seed)


def test_images_stay_in_the_ball_and_in_range():
    x = images().round(decimals=0)  # black and white: every step leads outside
    for a in (attack(), attack(steps=1, step_size=1.25 * EPS), APGD(eps=EPS, steps=5)):
        x_adv = moved(convolutional(), x, a)
        assert (x_adv - x).abs().max() <= EPS + 1e-12
        assert (x_adv - x).abs().max() > 0.9 * EPS
        assert x_adv.min() >= 0
        assert x_adv.max() <= 1
        assert not x_adv.requires_grad


def test_the_model_is_as_it_was():
    model = convolutional().train()
    model[1].eval()  # a layer that somebody keeps in evaluation mode
    model[3].weight.requires_grad_(False)  # and one that is not trained
    before = {k: v.clone() for k, v in model.state_dict().items()}
    moved(model, images())
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert [m.training for m in model] == [i != 1 for i in range(len(model))]
    assert [name for name, p in model.named_parameters() if not p.requires_grad] == ["3.weight"]
    assert all(p.grad is None for p in model.parameters())
    assert model.training


def test_the_weights_are_frozen_while_the_attack_asks():
    model, seen = convolutional().train(), []
    model.register_forward_pre_hook(lambda m, _: seen.append((m.training, any(p.requires_grad for p in m.parameters()))))
    moved(model, images(), attack(n_restarts=2))
    assert len(seen) == 8  # three steps each, and the losses of both
    assert set(seen) == {(False, False)}


def test_it_is_as_it_was_after_an_error_too():
    class Breaks(Evasion):
        def step(self, victim, s):
            raise ZeroDivisionError

    model = convolutional().train()
    with pytest.raises(ZeroDivisionError):
        moved(model, images(), Breaks())
    assert model.training
    assert all(p.requires_grad for p in model.parameters())


def test_running_statistics_are_what_the_perturbation_is_made_with():
    model, x = convolutional().train(), images()
    assert torch.equal(moved(model, x), moved(model.eval(), x))


def test_nobody_stops_at_the_first_mistake():
    seen = []
    model, x = convolutional(), images()
    model.register_forward_pre_hook(lambda m, args: seen.append(len(args[0])))
    moved(model, x, attack(steps=4))  # an untrained network: nearly all are wrong from the start
    assert seen == [32] * 4


def test_an_image_does_not_depend_on_its_neighbours():
    model, x = convolutional(), images()
    whole = moved(model, x)
    parts = [maximise(attack(), model, x[i], Goal(Y[i]), INDEX[i], 5) for i in (slice(0, 11), slice(11, 32))]
    assert (whole - torch.cat(parts)).abs().max() < 1e-12
    assert (whole - moved(model, x, seed=6)).abs().max() > EPS / 2


def test_of_several_restarts_the_largest_loss():
    model, x, goal = convolutional().eval(), images(), Goal(Y)

    def losses(x_adv):
        return goal.losses(model(x_adv)).detach()

    restarts = []

    class Watched(PGD):
        def run(self, victim, s):
            super().run(victim, s)
            restarts.append(s.x_t)

    best = moved(model, x, Watched(eps=EPS, steps=2, n_restarts=3))
    all_three = torch.stack([losses(x_adv) for x_adv in restarts])
    assert torch.equal(losses(best), all_three.amax(0))
    assert len(all_three.argmax(0).unique()) > 1


def test_fast_is_one_step_of_one_and_a_quarter_radii_by_hand():
    """Wong et al., Algorithm 3: δ uniform in the ball, δ + 1.25 ε sgn ∇, cut to ε; of a linear model the gradient's sign is that of −w."""
    w = torch.randn(192, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    x, y = images(4), torch.zeros(4, dtype=torch.int64)
    x_adv = maximise(attack(steps=1, step_size=1.25 * EPS), Linear(w), x, Goal(y), INDEX[:4], 5)
    delta = State(x, Goal(y), INDEX[:4], 5).uniform(-EPS, EPS)
    start = (x + delta).clamp(0, 1) - x
    by_hand = x + (start - 1.25 * EPS * w.view(3, 8, 8).sign()).clamp(-EPS, EPS)
    assert (x_adv - by_hand.clamp(0, 1)).abs().max() < 1e-12


# TRADES


def test_divergence_by_hand():
    """p = (3/4, 1/4), q = (1/2, 1/2): KL = 3/4 ln 3/2 + 1/4 ln 1/2; its gradients are q − p, and p (ln p/q − KL)."""
    clean = torch.tensor([[math.log(3), 0.0]], dtype=torch.float64, requires_grad=True)
    logits = torch.zeros(1, 2, dtype=torch.float64, requires_grad=True)
    value = divergence(clean, logits)
    kl = 0.75 * math.log(1.5) + 0.25 * math.log(0.5)
    assert value.item() == pytest.approx(kl, abs=1e-15)
    value.sum().backward()
    assert logits.grad[0].tolist() == pytest.approx([-0.25, 0.25])
    assert clean.grad[0].tolist() == pytest.approx([0.75 * (math.log(1.5) - kl), 0.25 * (math.log(0.5) - kl)])


def test_divergence_agrees_with_torch():
    clean, logits = torch.randn(2, 5, 7, dtype=torch.float64)
    theirs = nn.functional.kl_div(logits.log_softmax(1), clean.softmax(1), reduction="batchmean")
    assert torch.allclose(divergence(clean, logits).mean(), theirs, rtol=1e-12)


def test_disagreement_is_raised_whatever_the_label():
    model, x = convolutional().eval(), images()
    clean = model(x).detach()
    one, other = (moved(model, x, attack(steps=7), Disagreement(y, clean=clean)) for y in (Y, 9 - Y))
    assert torch.equal(one, other)
    start = moved(model, x, attack(steps=1, step_size=0.0))
    assert (divergence(clean, model(one)) > divergence(clean, model(start))).all()


def test_disagreement_of_some_inputs():
    goal = Disagreement(Y[:4], clean=torch.randn(4, 10))
    kept = goal.select(torch.tensor([2, 0]))
    assert torch.equal(kept.clean, goal.clean[[2, 0]])
    assert torch.equal(kept.label, Y[[2, 0]])
