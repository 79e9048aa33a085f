"""The supernet against one module per edge and operation, in float64: outputs, gradients of α and of every weight, running statistics."""

import pytest
import torch

from per_edge import PerEdge, copy_to, pairs
from robnas.space import fused
from robnas.space.mixture import Mixture
from robnas.space.search_space import CELL_KINDS, OPERATIONS, Space
from robnas.space.supernet import Supernet

KINDS = list(CELL_KINDS)
close = lambda a, b: torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)  # noqa: E731


@pytest.fixture(params=["fused", "plain"], autouse=True)
def path(request, monkeypatch):
    if request.param == "plain":
        monkeypatch.setattr(fused, "suits", lambda x: False)
    return request.param


class Case:
    """The same network twice, and one batch. Four layers: normal, reduce, reduce, normal."""

    def __init__(self, space: Space | None = None, *, train: bool = True, concat=None, size: int = 8) -> None:
        torch.manual_seed(0)
        self.space = space or Space()
        self.net = Supernet(self.space, layers=4, init_channels=4, num_classes=3, concat=concat).double()
        for name, buffer in self.net.named_buffers():
            if buffer.is_floating_point():
                buffer.copy_(torch.rand_like(buffer) + 0.5 if "var" in name else 0.1 * torch.randn_like(buffer))
        outputs = self.net.outputs
        self.oracle = PerEdge(self.space.operations, self.space.nodes, layers=4, c=4, num_classes=3, concat=outputs).double()
        copy_to(self.net, self.oracle)
        self.net.train(train)
        self.oracle.train(train)
        self.x, self.target = torch.randn(3, 3, size, size).double(), torch.randn(3, 3).double()
        shape = len(self.space.edges), len(self.space.operations)
        self.alpha = {kind: torch.randn(*shape, dtype=torch.float64).softmax(-1).requires_grad_() for kind in KINDS}

    def check(self, mixture: Mixture, weights: dict[str, torch.Tensor]) -> None:
        """`mixture` of ours is `weights` of the oracle."""
        ours, theirs = self.net(self.x, mixture), self.oracle(self.x, weights)
        close(ours, theirs)
        parameters = list(self.net.parameters())
        inputs = [*self.alpha.values(), *parameters]
        found = torch.autograd.grad((ours * self.target).sum(), inputs, allow_unused=True, materialize_grads=True)
        (theirs * self.target).sum().backward()
        for alpha, gradient in zip(self.alpha.values(), found, strict=False):
            close(gradient, alpha.grad)
        of = {id(p): g for p, g in zip(parameters, found[len(KINDS) :], strict=True)}
        for mine, place, other in pairs(self.net, self.oracle):
            if id(mine) in of:
                close(of[id(mine)][place].view_as(other), torch.zeros_like(other) if other.grad is None else other.grad)


@pytest.mark.parametrize("train", [True, False], ids=["training", "evaluation"])
def test_equals_one_module_per_edge_and_operation(train):
    case = Case(train=train)
    case.check(Mixture(case.alpha), case.alpha)
    for mine, place, other in pairs(case.net, case.oracle):
        close(mine[place].view_as(other), other)  # running statistics, moved by one batch or not at all


@pytest.mark.parametrize("operation", OPERATIONS[1:])
def test_each_operation_alone(operation, path):
    case = Case(Space(operations=("zero", operation), nodes=2), size=16)
    case.check(Mixture(case.alpha), case.alpha)


def test_factors_of_edges():
    case = Case(Space(nodes=2))
    edges = {kind: torch.rand(5, dtype=torch.float64) for kind in KINDS}
    case.check(Mixture(case.alpha, edges=edges), {kind: case.alpha[kind] * edges[kind][:, None] for kind in KINDS})


@pytest.mark.parametrize("share", [0.15, 0.5])
def test_what_is_masked_out_is_as_if_its_weight_were_zero_and_its_running_statistics_stay(share):
    case = Case()
    alive = {kind: torch.rand(14, 10) < share for kind in KINDS}
    before = {name: b.clone() for name, b in case.net.named_buffers()}
    case.check(Mixture(case.alpha, alive=alive), {kind: case.alpha[kind] * alive[kind] for kind in KINDS})
    for i, layer in enumerate(case.net.layers):
        for (source, _, operation, node), place in layer.cell.places.items():
            dead = not alive[layer.kind][case.space.edges.index((node, source)), OPERATIONS.index(operation)]
            assert not dead or torch.equal(layer.cell.mean[place], before[f"layers.{i}.cell.mean"][place])


def test_other_outputs_for_each_kind_of_cell_and_nodes_that_lead_nowhere():
    concat = {"normal": (4, 2), "reduce": (3,)}
    case = Case(concat=concat)
    case.check(Mixture(case.alpha), case.alpha)


def test_weights_that_need_no_gradient_change_nothing_for_alpha():
    case = Case(Space(nodes=2))
    gradients = []
    for wanted in (True, False):
        case.net.requires_grad_(wanted)
        loss = (case.net(case.x, Mixture(case.alpha)) * case.target).sum()
        gradients.append(torch.autograd.grad(loss, list(case.alpha.values())))
    for a, b in zip(*gradients, strict=True):
        close(a, b)


def test_differentiates_twice():
    case = Case(Space(nodes=2))
    found, alpha = [], list(case.alpha.values())
    for net, mixture in ((case.net, Mixture(case.alpha)), (case.oracle, case.alpha)):
        inputs = [net.stem[0].weight, *alpha]
        first = torch.autograd.grad((net(case.x, mixture) * case.target).sum(), inputs, create_graph=True)
        found.append([*first, *torch.autograd.grad(sum(g.square().sum() for g in first), inputs)])
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)
