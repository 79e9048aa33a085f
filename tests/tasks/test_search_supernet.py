"""The gradients of α through the supernet itself."""

import pytest
import torch
from torch.nn.functional import cross_entropy

from robnas.search.darts import DARTS
from robnas.space.search_space import Space
from robnas.space.supernet import Supernet
from robnas.tasks import bilevel

SPACE = Space(nodes=2)  # all ten operations


@pytest.fixture
def problem():
    """L_trn, L_val, α, w in float64, smooth enough for a finite difference of the whole."""
    torch.manual_seed(0)
    net = Supernet(SPACE, num_classes=4, layers=3, init_channels=4).double()
    searcher = DARTS(gamma=0.5, init_scale=0.1)
    searcher.build(SPACE, 0)
    searcher.double()
    halves = [(torch.rand(6, 3, 8, 8, dtype=torch.float64), torch.arange(6) % 4) for _ in range(2)]
    train, valid = (lambda x=x, y=y: cross_entropy(net(x, searcher.mixture()), y) for x, y in halves)
    inner = bilevel.Inner(list(net.parameters()), [], rate=0.05, momentum=0.9, decay=3e-4)
    return train, valid, list(searcher.parameters()), inner, net


def test_exact_and_finite_difference_agree_as_the_radius_shrinks(problem, monkeypatch):
    train, valid, alpha, inner, net = problem
    with net.frozen_statistics():
        exact = torch.cat([g.flatten() for g in bilevel.second_order(train, valid, alpha, inner, bilevel.exact)])
        first = torch.cat([g.flatten() for g in bilevel.first_order(valid, alpha)])
        monkeypatch.setattr(bilevel, "RADIUS", 1e-6)
        close = torch.cat([g.flatten() for g in bilevel.second_order(train, valid, alpha, inner, bilevel.finite_difference)])
    assert (close - exact).norm() < 1e-5 * exact.norm()
    assert (first - exact).norm() > 1e-3 * exact.norm()


def test_nothing_of_the_supernet_is_moved_by_an_architecture_step(problem):
    train, valid, alpha, inner, net = problem
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    with net.frozen_statistics():
        bilevel.second_order(train, valid, alpha, inner, bilevel.finite_difference)
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())
