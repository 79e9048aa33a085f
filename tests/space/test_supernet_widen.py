"""Weights carried over to a wider supernet: every operation computes what it did, on channels that are repeated (float64)."""

import pytest
import torch

from robnas.errors import UserError
from robnas.space import plain
from robnas.space.plan import Plan, ordered
from robnas.space.search_space import OPERATIONS, Space
from robnas.space.supernet import Supernet
from robnas.space.widen import carry, copies, widened

SPACE = Space(nodes=2)


def supernets(old: int, new: int, **arguments) -> tuple[Supernet, Supernet]:
    torch.manual_seed(0)
    nets = [Supernet(SPACE, layers=3, init_channels=12, num_classes=3, partial=k, **arguments).double() for k in (old, new)]
    for name, buffer in nets[0].named_buffers():
        if buffer.is_floating_point():
            buffer.copy_(torch.rand_like(buffer) + 0.5 if "var" in name else torch.randn_like(buffer))
    return nets[0], nets[1]


def repeated(x: torch.Tensor, channels: int, halves: bool) -> torch.Tensor:
    """x: [N, C, H, W], C of one edge → more of them; each half by itself if they are those of a factorised reduction."""
    parts = x.chunk(2, 1) if halves else (x,)
    return torch.cat([p[:, copies(p.shape[1], channels // len(parts))] for p in parts], 1)


def one_edge(net: Supernet, layer: int, source: int, operation: str, x: torch.Tensor, train: bool) -> torch.Tensor:
    """What `operation` puts into node 2, alone."""
    cell = net.layers[layer].cell
    alive = torch.zeros(len(SPACE.edges), len(OPERATIONS), dtype=torch.bool)
    alive[SPACE.edges.index((2, source)), OPERATIONS.index(operation)] = True
    plan = Plan(SPACE, alive, (2,), layer != 0)
    keys, weights = cell._living(plan)
    run = plain.Pass(plan, keys, cell.mean[plan.places], cell.var[plan.places], train, False, False, {})
    return plain.cell(run, (x, x), x.new_ones(1), weights)


@pytest.mark.parametrize("train", [True, False], ids=["training", "evaluation"])
@pytest.mark.parametrize(("old", "new"), [(4, 1), (6, 3), (3, 2), (2, 2)])
def test_every_operation_computes_what_it_did(old, new, train):
    before, after = supernets(old, new)
    carry(before, after)
    for layer, size in ((0, 7), (1, 8)):  # normal, reduce
        c_old, c_new = before.layers[layer].cell.mean.shape[1], after.layers[layer].cell.mean.shape[1]
        x = torch.randn(2, c_old, size, size).double()
        for operation in ordered(SPACE):
            for source in (0, 1):
                theirs = one_edge(before, layer, source, operation, x, train)
                mine = one_edge(after, layer, source, operation, repeated(x, c_new, halves=False), train)
                halves = operation == "skip_connect" and layer != 0
                torch.testing.assert_close(mine, repeated(theirs, c_new, halves), rtol=1e-10, atol=1e-10)


def test_what_is_not_in_the_operations_is_copied():
    before, after = supernets(4, 2)
    carry(before, after)
    theirs, mine = before.state_dict(), after.state_dict()
    outside = [name for name in mine if ".cell." not in name]
    assert len(outside) > 20
    assert all(torch.equal(mine[name], theirs[name]) for name in outside)


def test_inputs_are_divided_by_how_often_they_are_there():
    weight = torch.tensor([[[6.0, 12.0], [18.0, 24.0]]])  # one edge, 2 → 2
    assert torch.equal(copies(2, 3), torch.tensor([0, 1, 0]))
    assert torch.equal(widened(weight, 3, 3), torch.tensor([[[3.0, 12.0, 3.0], [9.0, 24.0, 9.0], [3.0, 12.0, 3.0]]]))
    assert torch.equal(widened(weight[:, :, :1], 3, 1)[0, :, 0], torch.tensor([6.0, 18.0, 6.0]))  # depthwise: nothing is summed


def test_a_narrower_or_another_supernet_is_refused_in_a_line():
    before, after = supernets(4, 2)
    with pytest.raises(UserError, match="partial: 4 after 2 would lose weights"):
        carry(after, before)
    with pytest.raises(UserError, match="not in space, layers or init_channels"):
        carry(before, Supernet(SPACE, layers=4, init_channels=12, num_classes=3))
