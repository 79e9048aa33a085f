"""Dropout on identity skips: by hand, in both paths, twice differentiable; nothing else is touched."""

import pytest
import torch

from robnas.errors import UserError
from robnas.space import fused
from robnas.space.mixed_cell import Dropout, MixedCell, Statistics
from robnas.space.mixture import Mixture
from robnas.space.plan import Plan
from robnas.space.search_space import CELL_KINDS, Space
from robnas.space.supernet import Supernet


@pytest.fixture(params=["fused", "plain"])
def path(request, monkeypatch):
    if request.param == "plain":
        monkeypatch.setattr(fused, "suits", lambda x: False)


def build(space: Space, partial: int = 1):
    torch.manual_seed(0)
    net = Supernet(space, layers=3, init_channels=4, num_classes=3, partial=partial).double()
    shape = len(space.edges), len(space.operations)
    alpha = {kind: torch.rand(*shape).double().softmax(-1).requires_grad_() for kind in CELL_KINDS}
    return net, alpha, torch.randn(4, 3, 8, 8).double()


@pytest.mark.parametrize("partial", [1, 2])
def test_both_paths_draw_alike_and_have_the_same_derivatives(monkeypatch, partial):
    found = []
    for suits in (fused.suits, lambda x: False):
        monkeypatch.setattr(fused, "suits", suits)
        for twice in (False, True):
            net, alpha, x = build(Space(nodes=3), partial)
            inputs = [*alpha.values(), *net.parameters()]
            torch.manual_seed(1)
            logits = net(x, Mixture(alpha, dropout=0.4))
            first = torch.autograd.grad(logits.square().sum(), inputs, create_graph=twice, allow_unused=True, materialize_grads=True)
            second = torch.autograd.grad(sum(g.square().sum() for g in first), list(alpha.values())) if twice else ()
            found.append([logits, *first, *second])
    for other in found[1:]:
        for a, b in zip(found[0], other, strict=False):
            torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)
    for a, b in zip(found[1], found[3], strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)


def test_a_value_is_left_out_or_scaled_up_for_each_edge_by_itself(path):
    space = Space(("zero", "skip_connect"), nodes=2)
    cell = MixedCell(space, 3, False, Statistics())
    alive = torch.zeros(5, 2, dtype=torch.bool)
    alive[[0, 3], 1] = True  # 2 ← 0, 3 ← 1
    alive[[1, 2], 1] = True  # 2 ← 1, 3 ← 0
    plan = Plan(space, alive, (2, 3), False)
    x = torch.ones(50, 3, 4, 4)
    out = cell(x, 10 * x, torch.ones(4), plan, Dropout(0.25, 0, 50))
    assert {round(float(v), 3) for v in out.unique()} == {0.0, 1.333, 13.333, 14.667}
    two, three = out.split(3, 1)
    assert abs((two == 0).double().mean() - 1 / 16) < 0.02  # 2,400 values: 0.005 is one deviation
    assert not torch.equal(two, three)
    assert abs(out.mean() - 11) < 0.3


def test_only_training_and_only_identities(path):
    halving = Space(("zero", "skip_connect", "sep_conv_3x3"), nodes=1)  # in a reduction cell every skip of an input has weights
    net, alpha, x = build(halving)
    alive = {"normal": torch.tensor([[False, False, True]] * 2), "reduce": torch.ones(2, 3, dtype=torch.bool)}
    same = lambda **k: torch.equal(net(x, Mixture(alpha, **k)), net(x, Mixture(alpha, dropout=0.5, **k)))  # noqa: E731
    assert same(alive=alive)
    assert not same()
    net.eval()
    assert same()


def test_a_probability_outside_its_range_is_refused():
    net, alpha, x = build(Space(nodes=1))
    with pytest.raises(UserError, match=r"dropout 1.0 is not in \[0, 1\)"):
        net(x, Mixture(alpha, dropout=1.0))


def test_the_same_noise_for_the_same_seed():
    net, alpha, x = build(Space(nodes=2))
    found = []
    for seed in (3, 3, 4):
        torch.manual_seed(seed)
        found.append(net(x, Mixture(alpha, dropout=0.5)))
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])
