"""PGD, APGD and Square against strangers."""

import copy
import warnings
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from robnas.attacks import APGD, PGD, Square, Victim
from small_victims import trained

EPS, STEP, STEPS = 8 / 255, 2 / 255, 7


def foolbox_pgd(x: Tensor, y: Tensor, target: Tensor | None, steps: int, model: nn.Module | None = None) -> Tensor:
    foolbox = pytest.importorskip("foolbox")
    attack = foolbox.attacks.LinfProjectedGradientDescentAttack(abs_stepsize=STEP, steps=steps, random_start=False)
    criterion = foolbox.criteria.Misclassification(y) if target is None else foolbox.criteria.TargetedMisclassification(target)
    return attack(foolbox.PyTorchModel(model or trained()[0], bounds=(0, 1), device="cpu"), x, criterion, epsilons=EPS)[1]


def torchattacks_pgd(x: Tensor, y: Tensor, target: Tensor | None, steps: int, model: nn.Module | None = None) -> Tensor:
    torchattacks = pytest.importorskip("torchattacks")
    attack = torchattacks.PGD(model or trained()[0], eps=EPS, alpha=STEP, steps=steps, random_start=False)
    if target is not None:
        attack.set_mode_targeted_by_label(quiet=True)
    return attack(x, y if target is None else target)


@pytest.mark.parametrize("goal", ["untargeted", "most_likely", "least_likely"])
@pytest.mark.parametrize("stranger", [foolbox_pgd, torchattacks_pgd])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_exact_images_are_bitwise_those_of_a_stranger(stranger, goal, dtype):
    """All inputs, right or wrong, all steps; whether or not the victim was prepared for other attacks before."""
    model, x, y = trained()
    model, x = copy.deepcopy(model).to(dtype), x.to(dtype)
    attack = PGD(EPS, STEP, STEPS, n_restarts=1, random_start=False, goal=goal, exact=True, only_correct=False)
    r = attack(model, x, y)
    target = None if goal == "untargeted" else r.target
    theirs = stranger(x, y, target, STEPS, model)
    assert torch.equal(r.x_adv, theirs)
    prepared = Victim.prepare(model)
    fast = PGD(EPS, STEP, STEPS, n_restarts=1, random_start=False, goal=goal)(prepared, x, y)
    assert prepared.prepared.startswith("2 BatchNorms folded")
    assert torch.equal(attack(prepared, x, y).x_adv, theirs)
    assert (r.queries == STEPS + 1).all()
    assert (fast.success | ~(r.success & r.eligible & fast.eligible)).double().mean() > 0.99  # success at any iterate counts there


def test_inputs_that_leave_early_have_a_strangers_image_of_that_step():
    """Ours stop at the iterate that succeeds; a stranger that is told to stop there gives the same image, bit for bit."""
    model, x, y = trained()
    r = PGD(EPS, STEP, STEPS, n_restarts=1, random_start=False)(Victim.prepare(model, fast=False), x, y)
    assert 0 < r.success.sum() < r.eligible.sum()
    for steps in range(1, STEPS + 1):
        rows = (r.queries == steps + 1) & r.eligible
        if rows.any():
            assert torch.equal(r.x_adv[rows], torchattacks_pgd(x[rows], y[rows], None, steps)), steps
    prepared = PGD(EPS, STEP, STEPS, n_restarts=1, random_start=False)(model, x, y)
    assert torch.equal(prepared.success, r.success)  # folding and channels_last change no outcome


def strangers_robust(model: nn.Module, x: Tensor, y: Tensor, name: str, **arguments: Any) -> Tensor:
    torchattacks = pytest.importorskip("torchattacks")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = getattr(torchattacks, name)(model, **arguments)(x, y)
    with torch.no_grad():
        return (model(x).argmax(1) == y) & (model(theirs).argmax(1) == y)


@pytest.mark.parametrize(("norm", "eps"), [("linf", 5 / 255), ("linf", 10 / 255), ("l2", 0.25)])
@pytest.mark.parametrize(("loss", "name", "more"), [("log_odds", "APGD", {"loss": "ce"}), ("dlr", "APGD", {"loss": "dlr"})])
def test_apgd_agrees_with_torchattacks_within_a_point(loss, name, more, norm, eps):
    model, x, y = trained()
    ours = APGD(eps, steps=25, loss=loss, norm=norm)(model, x, y).robust
    theirs = strangers_robust(model, x, y, name, eps=eps, steps=25, norm=norm.capitalize(), **more)
    assert 0.1 < ours.double().mean() < 0.8
    assert abs(ours.sum() - theirs.sum()) <= len(x) // 100


@pytest.mark.parametrize(("norm", "eps"), [("linf", 5 / 255), pytest.param("l2", 0.25, marks=pytest.mark.slow)])
def test_apgd_t_agrees_with_torchattacks_within_a_point(norm, eps):
    model, x, y = trained()
    ours = APGD(eps, steps=10, loss="targeted_dlr", norm=norm)(model, x, y).robust
    theirs = strangers_robust(model, x, y, "APGDT", eps=eps, steps=10, norm=norm.capitalize(), n_classes=10)
    assert 0.1 < ours.double().mean() < 0.8
    assert abs(ours.sum() - theirs.sum()) <= len(x) // 100


@pytest.mark.slow
@pytest.mark.parametrize(("norm", "eps"), [("linf", 8 / 255), ("l2", 2.0)])
def test_square_is_no_weaker_than_torchattacks_by_more_than_a_point(norm, eps):
    """Over three seeds, on digits enlarged to 32×32. In L∞ ours is 2 points stronger: it also puts squares at the last row and column."""
    model, x, y = trained()
    model = nn.Sequential(nn.AvgPool2d(4), copy.deepcopy(model)).eval().float()
    x = x.float().repeat_interleave(4, 2).repeat_interleave(4, 3)
    ours = sum(Square(eps, 500, norm=norm)(model, x, y, seed=seed).robust.double().mean() for seed in range(3)) / 3
    more = {"eps": eps, "n_queries": 500, "norm": norm.capitalize(), "resc_schedule": True}
    theirs = sum(strangers_robust(model, x, y, "Square", seed=seed, **more).double().mean() for seed in range(3)) / 3
    assert 0.1 < ours < 0.85
    assert -0.03 <= ours - theirs <= 0.01
