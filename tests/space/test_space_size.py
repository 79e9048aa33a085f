"""Sizes by formula against the built network and torch's own counter; percentiles."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from robnas.errors import UserError
from robnas.space import published
from robnas.space.genotype import Cell, Edge, Genotype
from robnas.space.network import Network
from robnas.space.percentile import percentile, random_genotype
from robnas.space.search_space import OPERATIONS, Space
from robnas.space.size import size


def counted(genotype, *, image_size, in_channels=3, **options):
    net = Network(genotype, in_channels=in_channels, **options).eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        net(torch.zeros(1, in_channels, image_size, image_size))
    return sum(p.numel() for p in net.parameters()), counter.get_total_flops() / 2  # it counts two for a multiply-add


@pytest.mark.parametrize("name", published.names())
def test_equals_the_built_network(name):
    options = {"layers": 5, "init_channels": 4, "num_classes": 7, "image_size": 16}
    assert size(published.find(name), **options) == counted(published.find(name), **options)


@pytest.mark.parametrize("seed", range(6))
def test_equals_the_built_network_for_odd_images_odd_widths_and_any_operation(seed):
    options = {"layers": 4 + seed, "init_channels": 5, "num_classes": 3, "image_size": 17 + seed, "in_channels": 1}
    genotype = random_genotype(Space(nodes=3, concat=(3, 4)), seed)
    assert size(genotype, **options) == counted(genotype, **options)


@pytest.mark.parametrize("source", [0, 1])
def test_equals_the_built_network_where_cells_read_one_input_alone(source):
    cell = Cell(((Edge("sep_conv_3x3", source),),), (2,))
    options = {"layers": 7, "init_channels": 4, "num_classes": 3, "image_size": 16}
    assert size(Genotype(cell, cell), **options) == counted(Genotype(cell, cell), **options)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_equals_the_built_network_with_one_operation(operation):
    cell = Cell(((Edge(operation, 1),), (Edge(operation, 2), Edge(operation, 1))), (3,))  # input 0 and nothing else is unused
    options = {"layers": 3, "init_channels": 4, "num_classes": 3, "image_size": 15}
    assert size(Genotype(cell, cell), **options) == counted(Genotype(cell, cell), **options)


def test_darts_as_published():
    parameters, flops = size(published.find("darts"))
    assert parameters == 3_349_342
    assert flops == pytest.approx(528e6, rel=1e-3)  # as the literature counts it at 32×32


@pytest.mark.parametrize("option", ["layers", "init_channels", "image_size", "num_classes"])
def test_wrong_values(option):
    with pytest.raises(UserError, match=f"{option}: 0"):
        size(published.find("darts"), **{option: 0})


def test_percentile_counts_ties_half():
    assert percentile(3, [1, 2, 3, 4]) == 62.5
    assert percentile(0, [1, 2]) == 0
    assert percentile(9, [1, 2]) == 100
