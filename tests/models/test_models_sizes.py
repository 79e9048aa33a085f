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
from robnas.models.count import size_of
from robnas.models.sizes import sizes
from robnas.space import published
from robnas.space.size import size

MANUAL = ("bit", "densenet", "dla", "resnet", "resnext", "vgg", "wide_resnet")

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
