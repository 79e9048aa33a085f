"""State, goals, and what an author may rely on."""

import copy

import pytest
import torch
from torch.nn.functional import cross_entropy, softplus

from robnas import seeds
from robnas.attacks import PGD, Evasion, State
from robnas.attacks.goal import Goal, margin
from robnas.errors import UserError
from small_victims import convolutional, images, trained


def test_own_tensors_move_up_as_inputs_leave():
    s = State(images(4), Goal(torch.tensor([3, 1, 4, 1]), torch.tensor([0, 0, 2, 2])), torch.tensor([10, 20, 30, 40]))
    s.momentum, s.scale = torch.arange(4.0), 0.5
    s.x_t = s.x + 1
    s.leave(torch.tensor([False, True, False, True]))
    assert len(s) == 2
    assert s.momentum.tolist() == [0.0, 2.0]
    assert s.index.tolist() == [10, 30]
    assert (s.goal.label.tolist(), s.goal.target.tolist()) == ([3, 4], [0, 2])
    assert s.keep(torch.tensor([5, 6, 7, 8])).tolist() == [5, 7]
    s.leave(torch.tensor([False, False]))
    assert s.keep(torch.tensor([1, 2])).tolist() == [1, 2]
    s.x_t = s.x - 1
    x = images(4)
    assert torch.equal(s.end().x, torch.stack([x[0] - 1, x[1] + 1, x[2] - 1, x[3] + 1]))


def test_a_tensor_that_is_not_per_input_is_refused():
    s = State(images(4), Goal(torch.zeros(4, dtype=torch.int64)), torch.arange(4))
    with pytest.raises(ValueError, match="momentum"):
        s.momentum = torch.zeros(3)
    with pytest.raises(ValueError, match="loss"):
        s.loss = torch.tensor(0.0)


def test_random_numbers_depend_on_index_seed_restart_and_draw_alone():
    def draws(index, seed=0, restart=0):
        s = State(images(len(index)), Goal(torch.zeros(len(index), dtype=torch.int64)), torch.tensor(index), seed, restart)
        return s.uniform(-1, 1), s.normal((5,))

    (u, n), (v, m) = draws([7, 8, 9]), draws([9, 7])
    assert torch.equal(u[[2, 0]], v)
    assert torch.equal(n[[2, 0]], m)
    assert u.min() >= -1
    assert u.max() < 1
    assert not torch.isclose(u, draws([7, 8, 9], seed=1)[0]).all()
    assert not torch.isclose(u, draws([7, 8, 9], restart=1)[0]).all()
    assert torch.equal(u, 2 * seeds.uniform(torch.tensor([7, 8, 9]), (3, 8, 8), 0, "attack", 0, 1, dtype=torch.float64) - 1)


def test_margin_by_hand():
    logits = torch.tensor([[1.0, 3.0, 2.5], [1.0, 3.0, 2.5]])
    assert margin(logits, torch.tensor([1, 0])).tolist() == [0.5, -2.0]


def test_goals_by_hand():
    logits = torch.tensor([[0.1, 2.0, 1.0, -1.0], [5.0, 4.0, 4.5, 1.0]])
    label = torch.tensor([1, 1])  # the second is misclassified: its current class is c₁ = 0
    assert Goal.of("untargeted", logits, label).target is None
    assert Goal.of("most_likely", logits, label).target.tolist() == [2, 2]
    assert Goal.of("least_likely", logits, label).target.tolist() == [3, 3]
    assert Goal(label).reached(logits).tolist() == [False, True]
    assert Goal(label, torch.tensor([1, 2])).reached(logits).tolist() == [True, False]
    assert Goal(label).reached_by(torch.tensor([1, 0])).tolist() == [False, True]
    assert Goal(label, torch.tensor([1, 2])).reached_by(torch.tensor([1, 0])).tolist() == [True, False]


@pytest.mark.parametrize("target", [None, torch.tensor([3, 2])])
def test_the_loss_is_the_cross_entropy_up_to_its_vanishing_factor(target):
    logits = torch.tensor([[0.1, 2.0, 1.0, -1.0], [5.0, 4.0, 4.5, 1.0]], dtype=torch.float64, requires_grad=True)
    label = torch.tensor([1, 1])
    losses = Goal(label, target).losses(logits)
    own, sign = (label, 1) if target is None else (target, -1)
    theirs = sign * cross_entropy(logits, own, reduction="none")
    assert torch.allclose(sign * softplus(sign * losses), theirs)
    ours, theirs = (torch.autograd.grad(value.sum(), logits, retain_graph=True)[0] for value in (losses, theirs))
    factor = theirs / ours
    assert (factor > 0).all()
    assert torch.allclose(factor, factor[:, :1].expand_as(factor))


def test_a_sure_model_is_attacked_like_its_modest_twin():
    """Logits ×1000: in float32 the cross-entropy has no gradient left; the classes are the same, and so must be the outcomes."""
    model, x, y = trained()
    model, x = copy.deepcopy(model).float(), x.float()
    sure = torch.nn.Sequential(copy.deepcopy(model), Times(1000.0))
    pgd = PGD(6 / 255, steps=5, n_restarts=1, goal="most_likely")
    modest = pgd(model, x, y)
    assert 0 < modest.success.sum() < modest.eligible.sum()
    assert (pgd(sure, x, y).success == modest.success).float().mean() >= 0.98  # a softmax over the other classes gets harder


def test_two_equal_classes_count_for_the_attacker():
    tie = torch.tensor([[1.0, 1.0]])
    assert Goal(torch.tensor([0])).reached(tie).all()
    assert Goal(torch.tensor([0]), torch.tensor([1])).reached(tie).all()


def test_an_unknown_goal_is_named_with_the_nearest():
    with pytest.raises(UserError, match="Did you mean 'most_likely'"):
        Goal.of("mostlikely", torch.zeros(1, 2), torch.zeros(1, dtype=torch.int64))


class Times(torch.nn.Module):
    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def forward(self, x):
        return self.factor * x


class Noise(Evasion):
    """A whole run of its own, on labels alone: the author sees no model."""

    access = "label"

    def __init__(self, eps: float = 0.3, tries: int = 20) -> None:
        super().__init__(eps=eps)
        self.tries = tries

    def run(self, victim, s):
        for _ in range(self.tries):
            s.x_t = self.project(s.x + s.uniform(-self.eps, self.eps), s.x)
            s.leave(s.goal.reached_by(victim.labels(s.x_t)))
            if not len(s):
                return


def test_an_attack_with_a_run_of_its_own():
    model, x, y = trained()
    r = Noise()(model, x, y)
    assert 0 < r.success.sum() < r.eligible.sum()
    assert (r.gradients == 0).all()
    assert (r.queries[r.eligible & ~r.success] == 21).all()
    assert torch.equal(Noise()(model, x, y, batch_size=7).success, r.success)


def test_an_attack_that_leaves_the_ball_is_found_out():
    class Escaping(Evasion):
        def step(self, victim, s):
            return s.x_t + 0.5 * (1 - s.x_t)

    with pytest.raises(RuntimeError, match="Escaping left the ball"):
        Escaping(eps=0.1)(convolutional(), images(2))


def test_misclassified_inputs_are_attacked_only_if_asked():
    model, x, _ = trained()
    wrong = (model(x).argmax(1) + 1) % 10
    assert not Noise()(model, x, wrong).eligible.any()
    attack = Noise()
    attack.only_correct = False
    r = attack(model, x, wrong)
    assert r.eligible.all()
    assert r.success.sum() >= 190  # they are misclassified from the start
    assert not r.robust.any()
