"""PGD and APGD against strangers, in float64 on a model that was handed over as it is."""

import warnings

import pytest
import torch
from torch import Tensor

from robnas.attacks import APGD, PGD, Victim
from small_victims import trained

EPS, STEP, STEPS = 8 / 255, 2 / 255, 7


def foolbox_pgd(x: Tensor, y: Tensor, target: Tensor | None, steps: int) -> Tensor:
    foolbox = pytest.importorskip("foolbox")
    attack = foolbox.attacks.LinfProjectedGradientDescentAttack(abs_stepsize=STEP, steps=steps, random_start=False)
    criterion = foolbox.criteria.Misclassification(y) if target is None else foolbox.criteria.TargetedMisclassification(target)
    return attack(foolbox.PyTorchModel(trained()[0], bounds=(0, 1), device="cpu"), x, criterion, epsilons=EPS)[1]


def torchattacks_pgd(x: Tensor, y: Tensor, target: Tensor | None, steps: int) -> Tensor:
    torchattacks = pytest.importorskip("torchattacks")
    attack = torchattacks.PGD(trained()[0], eps=EPS, alpha=STEP, steps=steps, random_start=False)
    if target is not None:
        attack.set_mode_targeted_by_label(quiet=True)
    return attack(x, y if target is None else target)


@pytest.mark.parametrize("goal", ["untargeted", "most_likely", "least_likely"])
@pytest.mark.parametrize("stranger", [foolbox_pgd, torchattacks_pgd])
def test_images_are_bitwise_those_of_a_stranger(stranger, goal):
    """Ours stop at the iterate that succeeds; a stranger that is told to stop there gives the same image, bit for bit."""
    model, x, y = trained()
    victim = Victim.prepare(model, fast=False)
    r = PGD(EPS, STEP, STEPS, n_restarts=1, random_start=False, goal=goal)(victim, x, y)
    target = None if goal == "untargeted" else r.target
    assert goal == "least_likely" or 0 < r.success.sum() < r.eligible.sum()
    for steps in range(1, STEPS + 1):
        rows = (r.queries == steps + 1) & r.eligible
        if rows.any():
            theirs = stranger(x[rows], y[rows], None if target is None else target[rows], steps)
            assert torch.equal(r.x_adv[rows], theirs), steps
    prepared = PGD(EPS, STEP, STEPS, n_restarts=1, random_start=False, goal=goal)(model, x, y)
    assert torch.equal(prepared.success, r.success)  # folding and channels_last change no outcome


def test_apgd_agrees_with_torchattacks_within_a_point():
    torchattacks = pytest.importorskip("torchattacks")
    model, x, y = trained()
    right = model(x).argmax(1) == y
    for eps in (5 / 255, 10 / 255):
        ours = APGD(eps, steps=25)(model, x, y).robust
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            theirs = torchattacks.APGD(model, eps=eps, steps=25, loss="ce")(x, y)
        theirs = right & (model(theirs).argmax(1) == y)
        assert 0.1 < ours.double().mean() < right.double().mean() - 0.1
        assert abs(ours.sum() - theirs.sum()) <= len(x) // 100
