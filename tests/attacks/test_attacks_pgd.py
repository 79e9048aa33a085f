"""PGD by hand-computed values and invariants."""

import pytest
import torch

from robnas.attacks import APGD, PGD, EvasionResult, State, Victim
from robnas.attacks.goal import Goal
from robnas.errors import UserError
from small_victims import Linear, convolutional, images, trained

ONE_STEP = {"steps": 1, "n_restarts": 1, "random_start": False, "goal": "untargeted"}


@pytest.mark.parametrize("eps", [0.005, 0.02, 0.05])
@pytest.mark.parametrize("goal", ["untargeted", "most_likely", "least_likely"])
def test_linear_model_breaks_exactly_when_its_margin_is_at_most_eps_times_the_l1_norm(eps, goal):
    g = torch.Generator().manual_seed(1)
    w = torch.randn(48, generator=g, dtype=torch.float64)
    x = images(200, side=4, seed=2) * 0.5 + 0.25  # nowhere does the ball touch the border of [0, 1]
    model = Linear(w, b=-float(w.sum()) / 2)
    margin = model(x).detach()[:, 0].abs()
    broken = margin <= eps * w.abs().sum()
    assert 0 < broken.sum() < 200
    for attack in (PGD(eps, eps, **{**ONE_STEP, "goal": goal}), APGD(eps, steps=2, goal=goal)):
        assert torch.equal(attack(model, x).success, broken), attack.name


def test_equality_counts_as_broken():
    model = Linear(torch.tensor([1.0, -1.0], dtype=torch.float64))
    x = torch.tensor([[[[0.75, 0.25]]], [[[0.75, 0.125]]]], dtype=torch.float64)  # margins 0.5 and 0.625; all numbers exact in binary
    assert PGD(0.25, 0.25, **ONE_STEP)(model, x).success.tolist() == [True, False]


def test_a_step_by_hand():
    """Eq. 15 with logits (x₀ − x₁, 0), label 0: the loss rises along (−1, +1); ε cuts the first pixel, 1.0 the second."""
    x = torch.tensor([[[[0.5, 0.95]]]], dtype=torch.float64)
    model = Linear(torch.tensor([1.0, -1.0], dtype=torch.float64), b=1.0)
    pgd = PGD(eps=0.1, step_size=0.08, steps=2, n_restarts=1, random_start=False, goal="untargeted")
    s = State(x, Goal(torch.tensor([0])), torch.arange(1))
    victim = Victim.prepare(model).white_box(s)
    s.x_t = pgd.step(victim, s)
    assert torch.allclose(s.x_t.flatten(), torch.tensor([0.42, 1.0], dtype=torch.float64), atol=1e-12)
    assert torch.allclose(pgd.step(victim, s).flatten(), torch.tensor([0.4, 1.0], dtype=torch.float64), atol=1e-12)


@pytest.mark.parametrize(
    "attack", [PGD(8 / 255, goal="least_likely"), PGD(0.3, 0.2), APGD(0.1, steps=10), APGD(0.1, 10, goal="least_likely")]
)
def test_never_leaves_the_ball_nor_the_image(attack):
    x = images(16).round(decimals=1)  # some pixels are 0 or 1
    x_adv = attack(convolutional(), x).x_adv
    assert float((x_adv - x).abs().max()) <= attack.eps + 1e-12
    assert float(x_adv.min()) >= 0
    assert float(x_adv.max()) <= 1
    assert float((x_adv - x).abs().max()) > attack.eps / 2  # it did move


@pytest.mark.parametrize("cls", [PGD, APGD])
def test_without_a_radius_robust_accuracy_is_clean_accuracy(cls):
    model, x, y = trained()
    r = cls(eps=0, goal="untargeted")(model, x, y)
    right = model(x).argmax(1) == y
    assert torch.equal(r.robust, right)
    assert torch.equal(r.correct, right)
    assert not r.success.any()
    assert torch.equal(r.x_adv, x)


@pytest.mark.parametrize(
    "attack",
    [
        PGD(4 / 255, steps=5, n_restarts=3, goal="untargeted"),
        PGD(24 / 255, steps=15, n_restarts=2, goal="least_likely"),
        APGD(4 / 255, steps=8, n_restarts=2),
    ],
    ids=["untargeted", "least", "apgd"],
)
def test_batch_of_1_equals_batch_of_64(attack):
    model, x, y = trained()
    x, y, index = x[:40], y[:40], torch.arange(40) * 3
    whole = attack(model, x, y, index, batch_size=64)
    one = attack(model, x, y, index, batch_size=1)
    assert 0 < whole.success.sum() < whole.eligible.sum()
    for name, value in whole.outcomes().items():
        if name == "distance":
            assert torch.allclose(value, one.distance, atol=1e-12, equal_nan=True)
        else:
            assert torch.equal(value, getattr(one, name)), name
    order = torch.randperm(40, generator=torch.Generator().manual_seed(0))
    assert torch.equal(attack(model, x[order], y[order], index[order]).success, whole.success[order])


def test_each_seed_and_restart_has_its_own_start():
    model, x, y = trained()
    weak = {"eps": 8 / 255, "step_size": 1e-9, "steps": 1, "goal": "untargeted"}
    first, again, other = (PGD(**weak, n_restarts=1)(model, x[:8], y[:8], seed=s).x_adv for s in (0, 0, 1))
    assert torch.equal(first, again)
    inner = (x[:8] > 8 / 255) & (x[:8] < 1 - 8 / 255)
    assert torch.isclose(first, other)[inner].float().mean() < 0.01
    second = PGD(**weak, n_restarts=2)(model, x[:8], y[:8])
    assert torch.isclose(first, second.x_adv)[inner & ~second.success[:, None, None, None]].float().mean() < 0.01


def test_later_runs_take_only_survivors_and_count_their_queries():
    model, x, y = trained()
    once = PGD(6 / 255, steps=4, n_restarts=1, goal="untargeted")(model, x, y)
    thrice = PGD(6 / 255, steps=4, n_restarts=3, goal="untargeted")(model, x, y)
    assert torch.equal(thrice.queries[once.success], once.queries[once.success])
    assert torch.equal(thrice.x_adv[once.success], once.x_adv[once.success])
    resisted = once.eligible & ~once.success
    assert (once.queries[resisted] == 4 + 1).all()  # four steps and a last look
    assert (once.gradients[resisted] == 4).all()
    held = thrice.eligible & ~thrice.success
    assert (thrice.queries[held] == 15).all()
    assert (thrice.queries[~thrice.eligible] == 0).all()
    assert (thrice.success | ~once.success).all()


def test_success_at_any_iterate_counts():
    """A step of 0.2 crosses a narrow band of another class and comes out behind it; only the iterate inside counts."""

    class Band(torch.nn.Module):
        def forward(self, x):
            z = x.flatten(1).sum(1)
            inside = 0.05 - (z - 0.7).abs()
            return torch.stack([-inside, inside], 1)

    x = torch.tensor([[[[0.5]]]], dtype=torch.float64)
    r = PGD(eps=0.4, step_size=0.2, steps=2, n_restarts=1, random_start=False, goal="untargeted")(Band(), x)
    assert r.success.tolist() == [True]
    assert r.distance.item() == pytest.approx(0.2)
    assert r.queries.item() == 2


def test_targets_are_reached_as_the_original_says():
    model, x, y = trained()
    clean = model(x)
    ranked = clean.argsort(1, descending=True)
    for goal, column in (("most_likely", 1), ("least_likely", -1)):
        r = PGD(16 / 255, steps=20, n_restarts=2, goal=goal)(model, x, y)
        assert torch.equal(r.target, ranked[:, column])
        assert r.success.any()
        now = model(r.x_adv).argmax(1)
        assert torch.equal(now[r.success], r.target[r.success])
        assert torch.equal(now, r.prediction)
        assert torch.equal(r.robust & r.success, torch.zeros_like(r.success))


def test_two_classes_have_one_way_out():
    model, x = convolutional(classes=2, seed=3), images(40)
    model[-1].bias.data -= model.eval()(x).mean(0).detach()  # about half of each class
    results = [PGD(0.01, 0.004, 5, 1, random_start=False, goal=goal)(model, x) for goal in ("untargeted", "most_likely", "least_likely")]
    assert 0 < results[0].success.sum() < 40
    assert all(torch.equal(r.success, results[0].success) for r in results)


def test_without_a_gradient_nothing_moves():
    """A model that says the same of everything has no gradient; a start in the ball does not change what it says."""

    class Constant(torch.nn.Module):
        def forward(self, x):
            return torch.stack([x.flatten(1).sum(1) * 0 + 1, x.flatten(1).sum(1) * 0], 1)

    assert not PGD(goal="untargeted")(Constant(), images(4)).success.any()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"eps": -0.1}, "eps: -0.1 is negative; "),
        ({"eps": 8}, r"eps: 8 is more than a whole pixel range \[0, 1\]; did you mean 8/255\?"),
        ({"eps": 1.5}, "eps: 1.5 is more than"),
        ({"eps": float("nan")}, "eps: nan"),
        ({"eps": "8"}, "eps: 8"),
        ({"step_size": -1}, "step_size: -1 is negative"),
        ({"steps": 0}, "steps: 0"),
        ({"n_restarts": 0}, "n_restarts: 0"),
        ({"max_inputs": 0}, "max_inputs: 0"),
        ({"goal": "least_likly"}, "Did you mean 'least_likely'"),
    ],
)
def test_bad_arguments_are_named_in_one_line(arguments, says):
    with pytest.raises(UserError, match=says) as error:
        PGD(**arguments)
    assert "\n" not in str(error.value)


def test_the_widest_ball_is_the_whole_range_or_none():
    assert PGD(eps=1).eps == 1
    assert APGD(eps=float("inf")).eps == float("inf")


def test_without_a_goal_every_attack_is_untargeted():
    assert PGD().goal == APGD().goal == "untargeted"


@pytest.mark.parametrize(
    ("x", "y", "says"),
    [
        (torch.full((2, 3, 8, 8), 200, dtype=torch.uint8), None, "divide by 255"),
        (images(2) * 2, None, r"in \[0, 1\]"),
        (images(2), torch.tensor([0, 10]), "the model has 10 classes"),
        (images(2), torch.tensor([0]), "1 labels for 2 inputs"),
    ],
)
def test_bad_inputs_are_named_in_one_line(x, y, says):
    with pytest.raises(UserError, match=says):
        PGD()(convolutional(), x, y)


def test_robust_is_right_after_every_run_and_a_result_says_so_in_a_line():
    """The first run ends on a wrong class that is not the target, the second on a right one: not robust, and not a success."""
    x = torch.full((1, 1, 1, 1), 0.5, dtype=torch.float64)
    logits = [torch.tensor([row], dtype=torch.float64) for row in ([3.0, 2, 1], [2.0, 3, 1], [3.0, 2, 1])]
    goal = Goal.of("least_likely", logits[0], torch.tensor([0]))
    r = EvasionResult.before(x, logits[0], goal, torch.arange(1), only_correct=True)
    for restart, answer in enumerate(logits[1:]):
        s = State(x, goal, torch.arange(1), 0, restart)
        s.x_t = x
        r.enter(s.end(), torch.arange(1), answer, goal)
    assert not r.success.any()
    assert not r.robust.any()
    assert repr(r).startswith("EvasionResult(0 of 1 eligible inputs broken, ")
    assert len(repr(r)) < 100


def test_no_inputs_no_results():
    r = PGD()(convolutional(), images(3)[:0])
    assert len(r.success) == 0
    assert r.x_adv.shape == (0, 3, 8, 8)
