"""SNAS: what it draws, how that depends on the temperature, and that its gradient is the pathwise one."""

from math import exp, log

import pytest
import torch

from robnas.errors import UserError
from robnas.search.snas import SNAS, concrete
from robnas.space.genotype import Edge
from robnas.space.search_space import Space
from robnas.space.supernet import Supernet

SPACE = Space(("zero", "skip_connect", "sep_conv_3x3"), nodes=2)


def built(scale: float = 1.0, **arguments) -> SNAS:
    searcher = SNAS(init_scale=scale, **arguments)
    searcher.build(SPACE, 0)
    for alpha in searcher.alpha.values():
        alpha.data = alpha.data.double()
    return searcher


def uniform(*shape: int) -> torch.Tensor:
    return torch.rand(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def test_a_draw_by_hand():
    # −log u = 1, 2, 4: G = 0, −log 2, −log 4; α = log(1, 4, 4): exp(α + G) = 1, 2, 1; at λ = ½ squared: 1, 4, 1
    u = torch.tensor([[exp(-1), exp(-2), exp(-4)]], dtype=torch.float64)
    alpha = torch.tensor([[0, log(4), log(4)]], dtype=torch.float64)
    assert concrete(alpha, u, 1.0)[0].tolist() == pytest.approx([1 / 4, 2 / 4, 1 / 4])
    assert concrete(alpha, u, 0.5)[0].tolist() == pytest.approx([1 / 6, 4 / 6, 1 / 6])


def test_draws_tend_to_one_hot_as_the_temperature_falls():
    alpha, u = torch.zeros(1000, 10, dtype=torch.float64), uniform(1000, 10)
    entropy = [torch.special.entr(concrete(alpha, u, t)).sum(-1).mean().item() for t in (10, 3, 1, 0.3, 0.1, 0.03, 0.001)]
    assert entropy == sorted(entropy, reverse=True)
    assert entropy[0] == pytest.approx(log(10), abs=0.02)
    assert entropy[-1] < 0.01
    assert torch.equal(concrete(alpha, u, 10).argmax(-1), concrete(alpha, u, 0.01).argmax(-1))


def test_the_largest_is_an_operation_as_often_as_it_is_likely():
    probabilities, n = torch.tensor([0.1, 0.2, 0.3, 0.4], dtype=torch.float64), 20_000
    draws = concrete(probabilities.log().expand(n, 4), uniform(n, 4), 0.03).argmax(-1)
    expected = n * probabilities
    assert ((draws.bincount(minlength=4) - expected).square() / expected).sum() < 16.27  # χ², 3 degrees of freedom, p = 0.001


def test_zero_as_a_uniform_number_gives_finite_draws():
    z = concrete(torch.zeros(1, 3, dtype=torch.float64), torch.tensor([[0.0, 0.5, 1 - 2**-53]], dtype=torch.float64), 0.03)
    assert z.isfinite().all()


def test_what_is_pruned_is_never_drawn():
    searcher = built()
    searcher.alive = {kind: torch.tensor([[True, False, True]] * 5) for kind in ("normal", "reduce")}
    for searcher.step in range(20):
        weights = searcher.mixture().weights["normal"]
        assert (weights[:, 1] == 0).all()
        assert weights.sum(-1).tolist() == pytest.approx([1] * 5)


def test_the_pathwise_gradient_agrees_with_finite_differences():
    """On a toy and on a supernet, the noise being that of the step."""
    searcher = built(temperature=0.7, temperature_end=0.1)
    searcher.step = 3
    torch.manual_seed(0)
    net, x = Supernet(SPACE, layers=3, init_channels=4).double(), torch.randn(2, 3, 8, 8, dtype=torch.float64)
    toy = uniform(5, 3)
    losses = (
        lambda: (searcher.mixture().weights["normal"] * toy).sum().tanh() + searcher.mixture().weights["reduce"].square().sum().sin(),
        lambda: net(x, searcher.mixture()).square().sum(),
    )
    parameters, h = list(searcher.parameters()), 1e-6
    for loss in losses:
        for p, g in zip(parameters, torch.autograd.grad(loss(), parameters), strict=True):
            for at in torch.topk(g.abs().flatten(), 3).indices.tolist():
                values = []
                for sign in (1, -1):
                    p.data.view(-1)[at] += sign * h
                    values.append(loss().item())
                    p.data.view(-1)[at] -= sign * h
                assert g.flatten()[at].item() == pytest.approx((values[0] - values[1]) / (2 * h), rel=1e-5)


def test_the_search_gradient_is_the_gradient_of_the_expectation():
    """E of ∂L/∂α over draws against the finite difference of E L over the same draws; L is not linear in Z."""
    u, alpha, h = uniform(4000, 3), torch.tensor([0.3, -0.2, 0.1], dtype=torch.float64), 1e-5
    cost = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
    mean = lambda a: (concrete(a.expand(4000, 3), u, 0.5) @ cost).square().mean()  # noqa: E731
    leaf = alpha.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(mean(leaf), leaf)
    numeric = [(mean(alpha + h * e) - mean(alpha - h * e)).item() / (2 * h) for e in torch.eye(3, dtype=torch.float64)]
    assert gradient.tolist() == pytest.approx(numeric, rel=1e-5)


def test_every_pass_of_a_step_and_every_rank_sees_the_same_draw():
    one, rank = built(), built()
    draws = []
    for one.step in (5, 5, 6):
        draws.append(one.mixture().weights)
        torch.rand(3)  # whatever else is drawn in between
    rank.step = 5
    assert torch.equal(draws[0]["normal"], draws[1]["normal"])
    assert torch.equal(draws[0]["reduce"], rank.mixture().weights["reduce"])
    assert not torch.equal(draws[0]["normal"], draws[2]["normal"])
    assert not torch.equal(one.alpha["normal"], one.alpha["reduce"])


def test_both_kinds_of_cell_draw_noise_of_their_own():
    searcher = built(scale=0.0)
    assert not torch.equal(*searcher.mixture().weights.values())


def test_the_temperature_falls_on_a_line_and_is_a_function_of_the_epoch():
    searcher, seen = SNAS(), []
    for epoch in (0, 75, 149, 75):
        searcher.epoch_start(epoch, 150)
        seen.append(searcher.now)
    assert seen == pytest.approx([1.0, 0.515, 0.03 + 0.97 / 150, 0.515])
    assert searcher.figures() == {"temperature": seen[-1]}


def test_derives_the_most_likely_operation_whatever_was_drawn():
    searcher = built()
    rows = [[0.1, 0.8, 0.1], [0.2, 0.1, 0.7], [0.5, 0.4, 0.1], [0.5, 0.2, 0.3], [0.1, 0.3, 0.6]]
    for alpha in searcher.alpha.values():
        alpha.data = torch.tensor(rows, dtype=torch.float64).log() + 1  # α is a logarithm of probabilities up to a constant
    for searcher.step in range(3):
        assert searcher.weights()["normal"].flatten().tolist() == pytest.approx([p for row in rows for p in row])
        assert searcher.derive().normal.nodes == (
            (Edge("skip_connect", 0), Edge("sep_conv_3x3", 1)),
            (Edge("sep_conv_3x3", 2), Edge("skip_connect", 0)),
        )


def test_gamma_damps_the_draw_or_alpha_before_it():
    plain, on_weight, on_alpha = (built(**a).mixture().weights["normal"] for a in ({}, {"gamma": 0.5}, {"gamma": 0.5, "damp": "alpha"}))
    assert (on_weight / plain)[0].tolist() == pytest.approx([1, 0.5, 1])
    alpha = built().alpha["normal"]
    expected = plain * torch.stack([torch.zeros(5), -0.5 * alpha[:, 1], torch.zeros(5)], 1).exp()  # λ = 1
    torch.testing.assert_close(on_alpha, expected / expected.sum(-1, keepdim=True))


def test_goes_on_at_its_temperature():
    one, two = SNAS(), SNAS()
    for searcher in (one, two):
        searcher.build(SPACE, 0)
    one.epoch_start(7, 10)
    two.rebuild(one.state())
    assert two.now == one.now != 1.0


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"temperature": 0}, "temperature: 0 is not positive"),
        ({"temperature_end": 0}, r"temperature_end: 0 is not in \(0, 1.0\]"),
        ({"temperature": 0.5, "temperature_end": 0.6}, r"temperature_end: 0.6 is not in \(0, 0.5\]"),
    ],
)
def test_wrong_values_are_said_in_one_line(wrong, says):
    with pytest.raises(UserError, match=says):
        SNAS(**wrong)
