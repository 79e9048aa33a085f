"""Losses by hand and by their invariants."""

import pytest
import torch
from torch import Tensor

from robnas.attacks import APGD, PGD, State
from robnas.attacks.goal import Goal
from robnas.attacks.losses import NAMED, Aimed, named, targeted_dlr
from robnas.errors import UserError
from small_victims import Linear, convolutional, images, trained

Z = torch.tensor([[1.0, 4.0, 2.0, -1.0, 0.0]], dtype=torch.float64)
LABEL, TARGET = torch.tensor([1]), torch.tensor([3])


@pytest.mark.parametrize(
    ("name", "untargeted", "targeted"),
    [
        ("margin", 2 - 4, -1 - 4),
        ("dlr", (2 - 4) / (4 - 1), (-1 - 4) / (4 - (1 + 0) / 2)),
        ("cross_entropy", -4 + float(Z.logsumexp(1)), -1 - float(Z.logsumexp(1))),
        ("log_odds", float(Z[:, [0, 2, 3, 4]].logsumexp(1)) - 4, -1 - float(Z[:, [0, 1, 2, 4]].logsumexp(1))),
    ],
)
def test_by_hand(name, untargeted, targeted):
    assert NAMED[name](Goal(LABEL), Z).item() == pytest.approx(untargeted)
    assert NAMED[name](Goal(LABEL, TARGET), Z).item() == pytest.approx(targeted)


def test_equation_7_by_hand():
    assert targeted_dlr(Z, LABEL, torch.tensor([4])).item() == pytest.approx(-(4 - 0) / (4 - (1 + 0) / 2))


@pytest.mark.parametrize("target", [None, torch.tensor([2, 0, 1, 3])])
def test_ratios_do_not_know_the_scale_of_logits(target):
    z = torch.randn(4, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    goal = Goal(torch.tensor([0, 1, 2, 4]), target)
    assert torch.allclose(NAMED["dlr"](goal, z), NAMED["dlr"](goal, 1000 * z + 7))
    assert torch.allclose(targeted_dlr(z, goal.label, z.argmin(1)), targeted_dlr(1000 * z + 7, goal.label, z.argmin(1)))


@pytest.mark.parametrize("loss", ["margin", "dlr"])
@pytest.mark.parametrize("classes", [2, 3, 4])
def test_a_positive_loss_is_a_goal_that_is_reached(loss, classes):
    z = torch.randn(50, classes, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    label = torch.arange(50) % classes
    for goal in (Goal(label), Goal(label, (label + 1) % classes)):
        assert torch.equal(NAMED[loss](goal, z) >= 0, goal.reached(z))


@pytest.mark.parametrize("loss", ["log_odds", "cross_entropy", "margin", "dlr", "targeted_dlr"])
@pytest.mark.parametrize("classes", [2, 3])
def test_few_classes_are_attacked_with_every_loss(loss, classes):
    """Denominators that would be the numerator are left out: every loss has a gradient."""
    model, x = convolutional(classes=classes, seed=3), images(40)
    model[-1].bias.data -= model.eval()(x).mean(0).detach()
    found = APGD(0.02, steps=8, loss=loss)(model, x)
    weak = APGD(0.02, steps=8)(model, x)
    assert 0 < found.success.sum() < 40
    assert abs(int(found.success.sum() - weak.success.sum())) <= 2
    assert not found.errored.any()


def test_two_classes_one_way_out_for_the_ratio_too():
    w = torch.randn(48, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    x = images(100, side=4, seed=2) * 0.5 + 0.25
    model = Linear(w, b=-float(w.sum()) / 2)
    broken = model(x).detach()[:, 0].abs() <= 0.02 * w.abs().sum()
    assert 0 < broken.sum() < 100
    for attack in (APGD(0.02, 2, loss="dlr"), APGD(0.02, 2, loss="targeted_dlr"), PGD(0.02, 0.02, 1, 1, random_start=False, loss="margin")):
        assert torch.equal(attack(model, x).success, broken)


def test_equal_logits_have_a_number():
    z = torch.zeros(1, 5, requires_grad=True)
    loss = NAMED["dlr"](Goal(torch.tensor([0])), z)
    assert torch.autograd.grad(loss.sum(), z)[0].isfinite().all()


def test_a_goal_with_a_loss_of_its_own_keeps_it():
    class Own(Goal):
        def losses(self, logits: Tensor) -> Tensor:
            return logits[:, 0]

    for name in NAMED:
        assert named(name, Own(LABEL), Z).item() == 1.0
    aimed = Aimed(LABEL, aim=torch.tensor([4]))
    assert named("margin", aimed, Z).item() == targeted_dlr(Z, LABEL, torch.tensor([4])).item()
    assert aimed.select(torch.tensor([0])).aim.tolist() == [4]


def test_apgd_t_aims_at_the_likely_classes_in_their_order():
    clean = torch.tensor([[1.0, 4.0, 2.0, -1.0], [9.0, 4.0, 5.0, 6.0]], dtype=torch.float64)
    attack, goal = APGD(loss="targeted_dlr", n_targets=9, n_restarts=2), Goal(torch.tensor([1, 3]))
    assert attack.runs(4) == 6  # three other classes, two starts for each
    assert attack.runs(100) == 18
    assert [attack.aim(goal, clean, run).aim.tolist() for run in range(0, 6, 2)] == [[2, 0], [0, 2], [3, 1]]
    assert torch.equal(attack.aim(goal, clean, 0).aim, attack.aim(goal, clean, 1).aim)


def test_apgd_t_goes_on_where_the_first_class_is_out_of_reach():
    model, x, y = trained()
    one, three = (APGD(16 / 255, steps=8, loss="targeted_dlr", n_targets=n)(model, x, y) for n in (1, 3))
    assert (three.success | ~one.success).all()
    resisted = one.eligible & ~one.success
    assert (one.queries[resisted] == 9).all()
    assert (three.queries[three.eligible & ~three.success] == 27).all()
    assert resisted.any()


def test_the_loss_hook_is_what_gradients_are_of():
    """An adaptive attack in one method: it raises only the logit of class 7."""

    class Seven(PGD):
        def losses(self, goal: Goal, logits: Tensor) -> Tensor:
            return logits[:, 7]

    model, x, y = trained()
    s = State(x[:4], Goal(y[:4]), torch.arange(4))
    attack = Seven(steps=1, n_restarts=1, random_start=False, step_size=1e-3)
    victim = attack.prepare(model).white_box(s, attack.losses)
    _, gradient = victim.logits_and_gradient(s.x, s.goal)
    leaf = x[:4].clone().requires_grad_(True)
    assert torch.allclose(gradient, torch.autograd.grad(model(leaf)[:, 7].sum(), leaf)[0], atol=1e-12)
    before, after = model(x).detach()[:, 7], model(attack(model, x, y).x_adv).detach()[:, 7]
    assert (after >= before - 1e-9).all()
    assert (after > before).sum() > 150


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: PGD(loss="margn"), "Did you mean 'margin'"),
        (lambda: PGD(loss="targeted_dlr"), "unknown loss"),
        (lambda: PGD(confidence=1.0), "confidence: 1.0"),
        (lambda: APGD(loss="dlrr"), "Did you mean 'dlr'"),
        (lambda: APGD(loss="targeted_dlr", goal="least_likely"), "goal: least_likely"),
        (lambda: APGD(n_targets=0), "n_targets: 0"),
        (lambda: APGD(norm="l1"), "norm"),
        (lambda: PGD(eot=0), "eot: 0"),
        (lambda: APGD(loss="targeted_dlr").losses(Goal(LABEL), Z), "no class to aim at"),
    ],
)
def test_bad_arguments_are_named_in_one_line(make, says):
    with pytest.raises(UserError, match=says) as error:
        make()
    assert "\n" not in str(error.value)


def test_confidence_by_hand():
    z = torch.tensor([[0.0, 3.0, 0.0], [0.0, 6.0, 0.0], [5.0, 4.9, 0.0]], dtype=torch.float64)  # p of class 1: 0.909, 0.995, 0.47
    label, target = torch.tensor([0, 0, 0]), torch.tensor([1, 1, 1])
    for goal in (Goal(label, None, 0.99), Goal(label, target, 0.99)):
        assert goal.reached(z).tolist() == [False, True, False]
        assert goal.select(torch.tensor([1, 0])).reached(z[[1, 0]]).tolist() == [True, False]
    assert Goal(label, None, 0.2).reached(z).tolist() == [True, True, False]  # the largest class as well
    with pytest.raises(UserError, match="labels only"):
        Goal(label, None, 0.5).reached_by(label)


def test_a_success_at_a_confidence_is_one_on_the_original():
    model, x, y = trained()
    plain, sure = (PGD(16 / 255, steps=20, n_restarts=1, goal="most_likely", confidence=c)(model, x, y) for c in (0.0, 0.95))
    assert 0 < sure.success.sum() < plain.success.sum()
    p = model(sure.x_adv).softmax(1).gather(1, sure.target[:, None]).squeeze(1)
    assert (p[sure.success] > 0.95).all()
    assert not sure.robust[model(sure.x_adv).argmax(1) != y].any()  # robust goes by the class alone
