"""Random noise: in its ball, half of it on the border, by hand on a linear model, weaker than PGD."""

import math

import pytest
import torch

from robnas.attacks import PGD, Noise, State, Victim
from robnas.attacks.goal import Goal
from robnas.errors import UserError
from small_victims import Linear, convolutional, images, trained


def drawn(attack: Noise, n: int, x: torch.Tensor) -> torch.Tensor:
    """[n, B, C, H, W] the images of the first n queries."""
    s = State(x, Goal(torch.zeros(len(x), dtype=torch.int64)), torch.arange(len(x)))
    return torch.stack([attack.drawn(s, k) for k in range(n)])


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_images_are_in_the_ball_or_on_its_border(norm):
    x = torch.full((50, 3, 4, 4), 0.5, dtype=torch.float64)
    for draw, shares in (("uniform", (0, 0)), ("border", (1, 1)), ("both", (0, 1))):
        found = drawn(Noise(0.25, draw=draw, norm=norm), 2, x) - x
        far = found.flatten(2).abs().amax(2) if norm == "linf" else found.flatten(2).norm(dim=2)
        assert (far <= 0.25 + 1e-12).all()
        for of_query, share in zip(far, shares, strict=True):
            assert ((of_query - 0.25).abs() < 1e-12).double().mean() == share
    corners = drawn(Noise(0.25, draw="border"), 1, x) - x
    assert (corners.abs() - 0.25).abs().max() < 1e-12
    assert abs((corners > 0).double().mean() - 0.5) < 3 * 0.5 / math.sqrt(corners.numel())


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_without_a_bound_it_is_any_image(norm):
    found = drawn(Noise(1.0 if norm == "linf" else float("inf"), norm=norm), 4, images(20))
    assert found.min() >= 0
    assert found.max() <= 1
    assert found.std() > 0.2


def test_a_linear_model_breaks_as_often_as_its_noise_is_normal():
    """Corners of ±ε: w·δ has deviation ε‖w‖, of 192 pixels near enough to normal. One draw: Φ(−margin / ε‖w‖)."""
    w = torch.linspace(-1, 1, 192, dtype=torch.float64)
    x = torch.full((4000, 3, 8, 8), 0.5, dtype=torch.float64)
    margin = 0.1 * float(w.norm())
    r = Noise(0.1, n_queries=1, draw="border")(Linear(w, margin), x, torch.zeros(4000, dtype=torch.int64))
    wanted = 0.5 * math.erfc(1 / math.sqrt(2))
    assert abs(r.success.double().mean() - wanted) < 3 * math.sqrt(wanted * (1 - wanted) / 4000)


def test_queries_are_counted_and_more_of_them_break_more():
    model, x, y = trained()
    few, many = (Noise(0.2, n_queries=n)(model, x, y) for n in (2, 20))
    assert few.success.sum() < many.success.sum()
    assert (many.success | ~few.success).all()  # the first draws are the same
    standing = many.eligible & ~many.success
    assert standing.any()
    assert (many.queries[standing] == 21).all()  # and one look of the referee
    assert (many.gradients == 0).all()
    assert (many.queries[many.success] <= 20).all()


def test_gradients_beat_it():
    model, x, y = trained()
    assert Noise(6 / 255, 50)(model, x, y).success.sum() < PGD(6 / 255, steps=5, n_restarts=1)(model, x, y).success.sum() / 2


def test_batches_change_nothing():
    model, x = convolutional().eval(), images(12)
    whole, parts = (Noise(0.4, 10)(Victim.prepare(model), x, batch_size=size) for size in (12, 5))
    assert torch.equal(whole.x_adv, parts.x_adv)
    assert torch.equal(whole.queries, parts.queries)


@pytest.mark.parametrize(("wrong", "says"), [({"draw": "corner"}, "unknown draw 'corner'"), ({"n_queries": 0}, "n_queries: 0 is not")])
def test_bad_arguments(wrong, says):
    with pytest.raises(UserError, match=says):
        Noise(**wrong)
