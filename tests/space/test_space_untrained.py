"""Scores of untrained networks, by hand on networks of a few weights."""

import copy
import math

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from robnas.errors import UserError
from robnas.space.network import Network
from robnas.space.published import find
from robnas.space.untrained import SCORES, grad_norm, nwot, synflow


def linear(*rows: list[float]) -> nn.Linear:
    layer = nn.Linear(len(rows[0]), len(rows), bias=False)
    layer.weight.data = torch.tensor(rows)
    return layer


def test_synflow_of_two_layers_by_hand():
    """|W₁| = [[1, 2], [3, 1]], |W₂| = [4, 5]: R = 4·(1 + 2) + 5·(3 + 1) = 32, and each layer's Σ θ·∂R/∂θ is R again."""
    net = nn.Sequential(linear([-1.0, 2.0], [3.0, -1.0]), nn.BatchNorm1d(2), nn.ReLU(), linear([-4.0, 5.0]))
    x = torch.randn(7, 2)
    assert synflow(net, x, torch.zeros(7)) == pytest.approx(2 * 32)
    assert synflow(net, -3 * x[:1], torch.ones(1)) == pytest.approx(2 * 32)  # of the batch, the shape alone


def test_synflow_is_homogeneous_in_every_layer():
    net = nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 2, bias=False))
    x, before = torch.ones(1, 3, 8, 8), 0.0
    before = synflow(net, x, x)
    net[0].weight.data *= -3
    assert synflow(net, x, x) == pytest.approx(3 * before)


def test_nwot_by_hand():
    """Codes (1, 0), (0, 1), (1, 1): K = 2 − Hamming = [[2, 0, 1], [0, 2, 1], [1, 1, 2]], of determinant 2·3 − 2 = 4."""
    net = nn.Sequential(linear([1.0, 0.0], [0.0, 1.0]), nn.ReLU())
    x = torch.tensor([[1.0, -1.0], [-1.0, 1.0], [1.0, 1.0]])
    assert nwot(net, x, torch.zeros(3)) == pytest.approx(math.log(4))
    twice = nn.Sequential(net[0], nn.ReLU(), nn.ReLU())  # the same code twice: 2·K
    assert nwot(twice, x, torch.zeros(3)) == pytest.approx(math.log(4 * 2**3))


def test_nwot_cannot_tell_inputs_of_one_code_apart():
    net = nn.Sequential(linear([1.0, 0.0], [0.0, 1.0]), nn.ReLU())
    assert nwot(net, torch.tensor([[1.0, 1.0], [2.0, 3.0]]), torch.zeros(2)) == -math.inf
    with pytest.raises(UserError, match=r"no nn\.ReLU"):
        nwot(linear([1.0]), torch.ones(1, 1), torch.zeros(1))


def test_grad_norm_by_hand():
    """One input (3, 4), logits 0: softmax − one-hot = (−½, ½), so ∇_W is its outer product with x, of norm √½ · 5."""
    net = linear([0.0, 0.0], [0.0, 0.0])
    assert grad_norm(net, torch.tensor([[3.0, 4.0]]), torch.tensor([0])) == pytest.approx(math.sqrt(0.5) * 5)


def test_grad_norm_adds_the_norms_of_layers():
    net = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.ReLU(), nn.Linear(3, 2))
    x, y = torch.randn(8, 4), torch.arange(8) % 2
    other = copy.deepcopy(net)
    cross_entropy(other(x), y).backward()
    assert grad_norm(net, x, y) == pytest.approx(float(other[0].weight.grad.norm() + other[3].weight.grad.norm()))


@pytest.mark.parametrize("name", SCORES)
def test_a_network_stays_as_it_was(name):
    net = Network(find("darts"), num_classes=3, layers=3, init_channels=2).eval()
    net.classifier.weight.requires_grad_(False)
    before = copy.deepcopy(net.state_dict())
    x, y = torch.rand(4, 3, 16, 16), torch.tensor([0, 1, 2, 0])
    score = SCORES[name](net, x, y)
    assert math.isfinite(score)
    assert score == SCORES[name](net, x, y)
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())
    assert not net.training
    assert not net.classifier.weight.requires_grad
    assert all(p.grad is None and p.dtype == torch.float32 for p in net.parameters())
