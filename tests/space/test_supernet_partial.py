"""Partial channels against an edge written as in PC-DARTS's paper and code, in float64: outputs, gradients of α, β, weights, twice too."""

import pytest
import torch

from per_edge import PerEdge, copy_to, pairs
from robnas.errors import UserError
from robnas.space import fused
from robnas.space.mixture import Mixture
from robnas.space.partial import join, shuffle
from robnas.space.search_space import CELL_KINDS, OPERATIONS, Space
from robnas.space.supernet import Supernet

close = lambda a, b: torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)  # noqa: E731


@pytest.fixture(params=["fused", "plain"], autouse=True)
def path(request, monkeypatch):
    if request.param == "plain":
        monkeypatch.setattr(fused, "suits", lambda x: False)


class Case:
    """The same network twice, and one batch. Four layers: normal, reduce, reduce, normal."""

    def __init__(self, partial: int, *, train: bool = True, nodes: int = 3, size: int = 8) -> None:
        torch.manual_seed(0)
        self.space = Space(nodes=nodes)
        self.net = Supernet(self.space, layers=4, init_channels=4, num_classes=3, partial=partial).double()
        for name, buffer in self.net.named_buffers():
            if buffer.is_floating_point():
                buffer.copy_(torch.rand_like(buffer) + 0.5 if "var" in name else 0.1 * torch.randn_like(buffer))
        self.oracle = PerEdge(self.space.operations, nodes, layers=4, c=4, num_classes=3, partial=partial).double()
        copy_to(self.net, self.oracle)
        self.net.train(train)
        self.oracle.train(train)
        self.x, self.target = torch.randn(3, 3, size, size).double(), torch.randn(3, 3).double()
        edges = len(self.space.edges)
        self.alpha = {k: torch.randn(edges, len(OPERATIONS)).double().softmax(-1).requires_grad_() for k in CELL_KINDS}
        self.beta = {k: torch.rand(edges).double().requires_grad_() for k in CELL_KINDS}
        self.parameters = [*self.alpha.values(), *self.beta.values()]

    def check(self, alive: dict[str, torch.Tensor] | None = None) -> None:
        weights, factors = self.alpha, self.beta
        if alive:  # an edge on which nothing is alive passes nothing
            weights = {k: a * alive[k] for k, a in self.alpha.items()}
            factors = {k: b * alive[k].any(-1) for k, b in self.beta.items()}
        ours, theirs = self.net(self.x, Mixture(self.alpha, edges=self.beta, alive=alive or {})), self.oracle(self.x, weights, factors)
        close(ours, theirs)
        own = list(self.net.parameters())
        found = torch.autograd.grad((ours * self.target).sum(), [*self.parameters, *own], allow_unused=True, materialize_grads=True)
        (theirs * self.target).sum().backward()
        for parameter, gradient in zip(self.parameters, found, strict=False):
            close(gradient, parameter.grad)
        of = {id(p): g for p, g in zip(own, found[len(self.parameters) :], strict=True)}
        for mine, place, other in pairs(self.net, self.oracle):
            if id(mine) in of:
                close(of[id(mine)][place].view_as(other), torch.zeros_like(other) if other.grad is None else other.grad)
            elif not alive:  # running statistics of what is masked out stand still in ours alone
                close(mine[place].view_as(other), other)


@pytest.mark.parametrize("train", [True, False], ids=["training", "evaluation"])
@pytest.mark.parametrize("partial", [2, 4])
def test_equals_an_edge_that_splits_passes_by_and_shuffles(partial, train):
    Case(partial, train=train).check()


def test_odd_sizes_keep_their_last_row():
    Case(2, nodes=2, size=10).check()  # 10, 5, 3


def test_masks_and_edges_on_which_nothing_or_only_zero_is_alive():
    case = Case(2)
    alive = {kind: torch.rand(9, 10, generator=torch.Generator().manual_seed(1)) < 0.3 for kind in CELL_KINDS}
    for mask in alive.values():
        mask[[0, 3, 6]] = False
        mask[3, OPERATIONS.index("zero")] = True  # 3 ← 1
    case.check(alive)


def test_a_source_that_is_only_passed_by():
    case = Case(2, nodes=2)
    alive = {kind: torch.ones(5, 10, dtype=torch.bool) for kind in CELL_KINDS}
    alive["normal"][4, 1:] = alive["reduce"][0, 1:] = alive["reduce"][2, 1:] = False  # 3 ← 2; 2 ← 0 and 3 ← 0
    case.check(alive)


def test_differentiates_twice_with_respect_to_everything():
    case, found = Case(2, nodes=2), []
    stem = lambda net: net.stem[0].weight  # noqa: E731
    for net, mixed in ((case.net, (Mixture(case.alpha, edges=case.beta),)), (case.oracle, (case.alpha, case.beta))):
        loss = (net(case.x, *mixed) * case.target).sum()
        first = torch.autograd.grad(loss, [stem(net), *case.parameters], create_graph=True)
        found.append(torch.autograd.grad(sum(g.square().sum() for g in first), [stem(net), *case.parameters]))
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)


def test_the_shuffle_by_hand():
    x = torch.arange(8.0).view(1, 8, 1, 1)
    assert shuffle(x, 4).flatten().tolist() == [0, 2, 4, 6, 1, 3, 5, 7]
    assert torch.equal(shuffle(shuffle(x, 4), 2), x)
    assert torch.equal(join(x[:, :2], x[:, 2:]), shuffle(x, 4))


@pytest.mark.parametrize("partial", [3, 8, 0])
def test_channels_that_cannot_be_parted_are_refused_in_a_line(partial):
    with pytest.raises(UserError, match=rf"partial: one of {partial} channels cannot be mixed where a node has 4 \(init_channels\)"):
        Supernet(init_channels=4, partial=partial)
