"""A supernet that is told one architecture computes that architecture's own network, and nothing else."""

import re
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from per_edge import _operation
from robnas.errors import UserError
from robnas.space import fused, published, supernet
from robnas.space.genotype import Cell, Edge, Genotype
from robnas.space.mixture import Mixture
from robnas.space.network import Network
from robnas.space.operations import FactorizedReduce
from robnas.space.percentile import random_genotype
from robnas.space.search_space import OPERATIONS, Space
from robnas.space.supernet import Supernet

close = lambda a, b: torch.testing.assert_close(a, b, rtol=1e-11, atol=1e-11)  # noqa: E731


def copy_to(supernet: Supernet, network: Network) -> None:
    """The network takes the supernet's weights and running statistics; an operation that stands twice on an edge takes them twice.

    Where the network concatenates fewer nodes, what reads them takes the weights of those alone.
    """
    network.stem.load_state_dict(supernet.stem.state_dict())
    before = last = slice(None)  # of the channels that the supernet's cells give, those of the network's
    for layer, cell in zip(supernet.layers, network.cells, strict=True):
        for ours, theirs, read in ((layer.before, cell.before, before), (layer.last, cell.last, last)):
            if theirs is None:  # nothing reads this input
                continue
            halving = isinstance(theirs, FactorizedReduce)
            convs, norm = ((theirs.even, theirs.odd), theirs.norm) if halving else ((theirs[1],), theirs[2])
            for a, b in zip(ours.convs, convs, strict=True):
                b.load_state_dict({"weight": a.weight[:, read]})
            norm.load_state_dict(ours.norm.state_dict())
        places = [supernet.outputs[layer.kind].index(node) for node in cell.cell.concat]
        before, last = last, torch.cat([torch.arange(layer.cell.channels) + layer.cell.channels * i for i in places])
        for node, modules in cell.nodes.items():
            for edge, module in zip(cell.cell.nodes[int(node) - 2], modules, strict=True):
                with torch.no_grad():
                    for stacked, place, target in _tensors(layer.cell, edge, module, int(node)):
                        target.copy_(stacked[place].view_as(target))
    classifier = supernet.classifier
    network.classifier.load_state_dict({"weight": classifier.weight[:, last], "bias": classifier.bias})


def _tensors(cell, edge, module, node):
    if isinstance(module, FactorizedReduce):
        width = len(cell.sources[edge.source]["skip_connect"]["even"]) // len(range(max(2, edge.source + 1), 2 + cell.space.nodes))
        first = (node - max(2, edge.source + 1)) * width
        for name in ("even", "odd"):
            yield cell.sources[edge.source]["skip_connect"][name], slice(first, first + width), getattr(module, name).weight
        place = cell.places[edge.source, 1, "skip_connect", node]
        yield from ((cell.mean, place, module.norm.running_mean), (cell.var, place, module.norm.running_var))
    elif not isinstance(module, nn.Identity):
        yield from _operation(cell, edge.operation, module, edge.source, node)


def both(genotype: Genotype, train: bool, space: Space | None = None):
    """The genotype in a supernet and as its own network: with its own outputs, or those of a space."""
    torch.manual_seed(0)
    concat = None if space else {kind: cell.concat for kind, cell in genotype.cells.items()}
    space = space or Space(nodes=len(genotype.normal.nodes))
    net = Supernet(space, layers=4, init_channels=4, num_classes=3, concat=concat).double()
    for key, buffer in net.named_buffers():
        if buffer.is_floating_point():
            buffer.copy_(torch.rand_like(buffer) + 0.5 if "var" in key else 0.1 * torch.randn_like(buffer))
    network = Network(genotype, num_classes=3, layers=4, init_channels=4, affine=False, pool_norm=True).double()
    copy_to(net, network)
    return net.train(train), network.train(train), Mixture.of(genotype, space, torch.float64, concat=concat)


def same(net, network, mixture):
    """Logits, and the gradient of a weight far below."""
    x = torch.randn(2, 3, 18, 18, dtype=torch.float64)  # odd sizes behind the first reduction
    ours, theirs = net(x, mixture), network(x)
    close(ours, theirs)
    (expected,) = torch.autograd.grad(theirs.square().sum(), network.stem[0].weight)
    (found,) = torch.autograd.grad(ours.square().sum(), net.stem[0].weight)
    close(found, expected)


@pytest.mark.parametrize("train", [True, False], ids=["training", "evaluation"])
@pytest.mark.parametrize("name", published.names())
def test_a_published_architecture_is_its_own_network(name, train):
    same(*both(published.find(name), train))


LOOSE = Space(nodes=5, loose_ends=True, repeats=True)
FIVE = [name for name in published.names() if len(published.find(name).normal.nodes) == 5]


@pytest.mark.parametrize("name", FIVE)
def test_one_supernet_holds_published_cells_of_any_loose_ends(name):
    genotype = published.find(name)
    assert all(cell.concat == LOOSE.outputs_of(cell.nodes) for cell in genotype.cells.values())
    same(*both(genotype, True, LOOSE))
    same(*both(genotype, False, LOOSE))


@pytest.mark.parametrize("operation", OPERATIONS[1:])
def test_every_operation_in_the_place_of_published_ones(operation):
    genotype = published.find(FIVE[OPERATIONS.index(operation) % len(FIVE)])
    cells = {
        k: Cell(tuple(tuple(Edge(operation, e.source) for e in node) for node in c.nodes), c.concat) for k, c in genotype.cells.items()
    }
    same(*both(Genotype(**cells), True, LOOSE))


@pytest.mark.parametrize("number", range(3))
def test_random_cells_with_loose_ends_and_repeated_sources(number):
    same(*both(random_genotype(LOOSE, 0, number), True, LOOSE))


def test_the_fast_path_and_the_plain_one_agree_on_nodes_that_do_not_count(monkeypatch):
    net, network, mixture = both(published.find("amoebanet"), True, LOOSE)
    monkeypatch.setattr(fused, "suits", lambda x: False)
    same(net, network, mixture)


def test_outputs_that_the_supernet_does_not_have_are_refused_in_a_line():
    net, _, mixture = both(published.find("darts"), False)
    for outputs in ((2, 6), ()):
        wrong = replace(mixture, outputs={"normal": outputs})
        with pytest.raises(UserError, match=rf"outputs {re.escape(str(list(outputs)))} of normal cells are not among .*\[2, 3, 4, 5\]"):
            net(torch.randn(1, 3, 16, 16).double(), wrong)


def test_plans_do_not_pile_up(monkeypatch):
    monkeypatch.setattr(supernet, "PLANS", 6)
    space, x = Space(nodes=2), torch.randn(1, 3, 8, 8)
    net = Supernet(space, layers=1, init_channels=2).eval()
    for number in range(10):
        net(x, Mixture.of(random_genotype(space, 0, number), space))
    assert len(net._plans) == 6
    kept = set(net._plans)
    net(x, Mixture.of(random_genotype(space, 0, 7), space))  # the last three have been kept
    assert set(net._plans) == kept


class Count(TorchDispatchMode):
    """Output channels that convolutions and pools compute."""

    def __init__(self) -> None:
        super().__init__()
        self.channels = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        if func in (torch.ops.aten.convolution.default, torch.ops.aten.bmm.out, torch.ops.aten.bmm.default):
            self.channels += (args[1].shape[0] * args[1].shape[2]) if func is not torch.ops.aten.convolution.default else len(args[1])
        return out


def test_computes_only_what_is_named():
    space = Space()
    cell = "[" + ", ".join(["('sep_conv_3x3', 0), ('skip_connect', 1)"] * 4) + "]"
    one = Genotype.parse(f"Genotype(normal={cell}, normal_concat=range(2, 6), reduce={cell}, reduce_concat=range(2, 6))")
    net = Supernet(space, layers=1, init_channels=4, num_classes=3).eval()
    with torch.no_grad(), Count() as count:
        net(torch.randn(1, 3, 8, 8), Mixture.of(one, space))
    # layers=1: a reduction cell alone, C = 8. Stem; 4 edges of two stages, depthwise and pointwise; 4 halving skips.
    assert count.channels == 12 + 4 * 8 * 4 + 4 * 8


@pytest.mark.parametrize(
    ("space", "message"),
    [
        (Space(nodes=5), "normal: 4 nodes, but the search space has 5"),
        (Space(operations=("zero", "skip_connect")), "unknown operation 'sep_conv_3x3'"),
        (Space(concat=(5,)), r"normal: concatenates nodes \[2, 3, 4, 5\], but the supernet \[5\]"),
    ],
)
def test_a_space_that_cannot_hold_the_genotype_is_refused_in_a_line(space, message):
    with pytest.raises(UserError, match=message) as error:
        Mixture.of(published.find("darts"), space)
    assert "\n" not in str(error.value)


def test_multiplicities_are_counted():
    twice = published.find("enas_official")
    concat = {kind: cell.concat for kind, cell in twice.cells.items()}
    space = Space(nodes=5)
    mixture = Mixture.of(twice, space, concat=concat)
    assert mixture.weights["reduce"][space.edges.index((2, 1)), space.operations.index("sep_conv_3x3")] == 2
    assert mixture.weights["reduce"].sum() == 10


def test_where_ends_are_loose_a_mixture_says_which_nodes_count():
    genotype = published.find("amoebanet")
    space = Space(nodes=5, loose_ends=True, repeats=True)
    mixture = Mixture.of(genotype, space)
    assert mixture.outputs == {kind: tuple(sorted(cell.concat)) for kind, cell in genotype.cells.items()}
    assert Mixture.of(published.find("darts"), Space()).outputs == {}
