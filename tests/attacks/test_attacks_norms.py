"""Balls in L∞ and L2, by hand, and PGD in L2 on a linear model."""

import pytest
import torch

from robnas.attacks import PGD, norms
from robnas.errors import UserError
from small_victims import Linear, convolutional, images


def test_l2_by_hand():
    x = torch.tensor([[[[0.5, 0.5]]], [[[0.5, 0.9]]], [[[0.5, 0.5]]]], dtype=torch.float64)
    x_t = x + torch.tensor([[[[3.0, 4.0]]], [[[0.0, 0.5]]], [[[0.03, 0.04]]]], dtype=torch.float64)
    assert norms.distance(x_t, x, "l2").tolist() == pytest.approx([5, 0.5, 0.05])
    inside = norms.project(x_t, x, 0.25, "l2")
    assert inside.flatten(1).tolist() == [pytest.approx([0.65, 0.7]), pytest.approx([0.5, 1.0]), pytest.approx([0.53, 0.54])]
    assert norms.steepest(x_t - x, "l2").flatten(1)[0].tolist() == pytest.approx([0.6, 0.8])
    assert torch.equal(norms.steepest(torch.zeros_like(x), "l2"), torch.zeros_like(x))


def test_points_of_the_l2_ball_are_uniform():
    """The share within radius r of a ball in d dimensions is r^d."""
    g = torch.Generator().manual_seed(0)
    points = norms.in_ball(torch.randn(20000, 1, 1, 3, generator=g), torch.rand(20000, generator=g), 2.0).flatten(1)
    length = points.norm(dim=1)
    assert float(length.max()) <= 2 + 1e-6
    for r in (0.5, 1.0, 1.5):
        assert float((length <= r).double().mean()) == pytest.approx((r / 2) ** 3, abs=0.01)
    assert points.mean(0).abs().max() < 0.03


@pytest.mark.parametrize("goal", ["untargeted", "most_likely"])
def test_linear_model_breaks_exactly_when_its_margin_is_at_most_eps_times_the_l2_norm(goal):
    w = torch.randn(48, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    x = images(200, side=4, seed=2) * 0.5 + 0.25  # nowhere does a step reach the border of [0, 1]
    model = Linear(w, b=-float(w.sum()) / 2)
    margin = model(x).detach()[:, 0].abs()
    r = PGD(0.12, 0.12, steps=1, n_restarts=1, random_start=False, goal=goal, norm="l2")(model, x)
    assert torch.equal(r.success, margin <= 0.12 * w.norm())
    assert 0 < r.success.sum() < 200
    assert torch.allclose(r.distance[r.success], torch.tensor(0.12, dtype=torch.float64))


def test_pgd_in_l2_stays_in_its_ball():
    x = images(16).round(decimals=1)
    r = PGD(1.5, 0.5, norm="l2")(convolutional(), x)
    assert float(norms.distance(r.x_adv, x, "l2").max()) <= 1.5 + 1e-9
    assert float(r.x_adv.min()) >= 0
    assert float(r.x_adv.max()) <= 1


def test_a_radius_above_one_is_for_l2_alone():
    assert PGD(2.0, norm="l2").eps == 2
    with pytest.raises(UserError, match="more than a whole pixel range"):
        PGD(2.0)
    with pytest.raises(UserError, match="unknown norm 'l3'"):
        PGD(0.1, norm="l3")
