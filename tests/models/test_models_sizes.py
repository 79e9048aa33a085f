"""The generated sizes against the networks as they are built, and what is counted in them."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from robnas import plugins
from robnas.models.build import build, describe
from robnas.models.count import count, size_of
from robnas.models.sizes import sizes
from robnas.space import published
from robnas.space.genotype import Cell, Edge, Genotype
from robnas.space.network import Network
from robnas.space.size import Size, size

MANUAL = ("bit", "densenet", "dla", "resnet", "resnext", "vgg", "wide_resnet")
TEN = ("amoebanet", "darts", "drnas", "enas", "nasnet", "pc_darts", "pdarts", "sgas", "snas", "random")

NOT_COUNTED = (
    "add add_ avg_pool2d cat constant_pad_nd empty max_pool2d_with_indices mean native_batch_norm native_group_norm relu relu_ t view"
)
"""Norms, activations, pools, sums and what moves no number: none of them multiplies by a matrix of weights."""


def test_every_named_network_has_a_size():
    assert sorted(sizes()) == sorted([p.name for p in plugins.declared("robnas.models") if p.built_in] + published.names())


@pytest.mark.parametrize("name", MANUAL)
def test_manual_families_are_as_large_as_said(name):
    assert size_of(name) == sizes()[name]


@pytest.mark.parametrize("name", published.names())
def test_cells_are_as_large_as_said_by_formula(name):
    assert size(published.find(name)) == sizes()[name]


@pytest.mark.parametrize(
    ("name", "millions"),
    [("darts", 3.3), ("pc_darts", 3.6), ("pdarts", 3.4), ("sgas", 3.8), ("sgas_cri2", 4.1), ("amoebanet", 3.1), ("drnas", 4.1)],
)
def test_cells_are_as_large_as_their_authors_say(name, millions):
    """Where they, too, stack 20 cells of 36 channels: tables of DARTS, PC-DARTS, P-DARTS, SGAS and DrNAS, rounded as there."""
    assert round(sizes()[name].parameters / 1e6, 1) == millions


def test_a_cell_network_by_hand():
    """A normal cell of two separable convolutions and two reduction cells of a pool and a skip, on 16×16 pixels."""
    edges = (Edge("sep_conv_3x3", 0), Edge("sep_conv_3x3", 1)), (Edge("max_pool_3x3", 0), Edge("skip_connect", 1))
    genotype = Genotype(*(Cell((node,), (2,)) for node in edges))
    stem = Size(27 * 12 + 24, 27 * 12 * 256)
    normal = Size(2 * (12 * 4 + 8) + 2 * 2 * (9 * 4 + 4 * 4 + 8), 2 * 12 * 4 * 256 + 2 * 2 * (9 * 4 + 4 * 4) * 256)
    first = Size((12 * 8 + 16) + (4 * 8 + 16) + (8 * 8 + 16), (12 * 8 + 4 * 8) * 256 + 8 * 8 * 64)
    second = Size((4 * 16 + 32) + (8 * 16 + 32) + (16 * 16 + 32), (4 * 16 + 8 * 16) * 64 + 16 * 16 * 16)
    by_hand = stem + normal + first + second + Size(170, 160)
    assert by_hand == (1654, 214_176)
    with torch.device("meta"):
        network = Network(genotype, num_classes=10, layers=3, init_channels=4)
    assert count(network, (3, 16, 16)) == by_hand


@pytest.mark.slow
@pytest.mark.parametrize("name", TEN)
def test_cells_of_the_paper_s_size_train_for_a_step(name):
    network = build(describe(name), num_classes=10, image_shape=(3, 32, 32))
    logits = network(torch.rand(2, 3, 32, 32))
    logits.square().mean().backward()
    assert logits.shape == (2, 10)
    assert logits.isfinite().all()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())


@pytest.mark.slow
@pytest.mark.parametrize("name", published.names())
def test_cells_are_as_large_as_said_when_built(name):
    assert size_of(name) == sizes()[name]


@pytest.mark.slow
def test_the_tool_writes_the_file_that_is_there(tmp_path):
    """What the tests above compare, and its header."""
    shipped = Path(__file__).parents[2] / "src" / "robnas" / "models" / "sizes.yaml"
    tool = Path(__file__).parents[2] / "tools" / "sizes_of_models.py"
    subprocess.run([sys.executable, tool, "--out", tmp_path / "sizes.yaml"], check=True)
    assert (tmp_path / "sizes.yaml").read_text() == shipped.read_text()


class Ops(TorchDispatchMode):
    """The names of all operations that run below it."""

    def __init__(self):
        super().__init__()
        self.packets = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.packets.add(func._overloadpacket)
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("name", [*MANUAL, "amoebanet", "nasnet", "darts"])  # their cells have all operations between them
def test_no_operation_with_weights_escapes_the_counter(name):
    network = build(describe(name), num_classes=10, image_shape=(3, 16, 16), size="tiny").eval()
    x = torch.rand(1, 3, 16, 16)
    with torch.no_grad(), Ops() as ops:
        network(x)
    counted = {packet for packet in ops.packets if packet in flop_registry}
    assert torch.ops.aten.convolution in counted
    assert {packet.__name__ for packet in ops.packets - counted} <= set(NOT_COUNTED.split())
