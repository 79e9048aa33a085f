"""The cell-based search space (§2.1, §3.1): which operations, how many nodes, what a cell may look like. Torch-free."""

from dataclasses import dataclass
from functools import cached_property

OPERATIONS = (
    "zero",
    "max_pool_3x3",
    "avg_pool_3x3",
    "skip_connect",
    "sep_conv_3x3",
    "sep_conv_5x5",
    "sep_conv_7x7",
    "dil_conv_3x3",
    "dil_conv_5x5",
    "conv_7x1_1x7",
)
"""The ten operations of §3.1, by their names in DARTS-family code."""

CELL_KINDS = ("normal", "reduce")
"""Normal cells keep the resolution; reduction cells halve it and double the channels."""


@dataclass(frozen=True)
class Space:
    """What may be searched.

    Args:
        operations: candidates on every edge, in this order everywhere.
        nodes: intermediate nodes of a cell.
        sources: edges that a derived cell keeps into each node.
        concat: nodes (numbered from 2, after the two inputs) that make up a cell's output; all of them if empty.
    """

    operations: tuple[str, ...] = OPERATIONS
    nodes: int = 4
    sources: int = 2
    concat: tuple[int, ...] = ()

    @cached_property
    def edges(self) -> tuple[tuple[int, int], ...]:
        """(node, source) of every possible edge, in DARTS's order: node 2 from 0, 1; node 3 from 0, 1, 2; …"""
        return tuple((node, source) for node in range(2, 2 + self.nodes) for source in range(node))

    @cached_property
    def outputs(self) -> tuple[int, ...]:
        """The nodes that are concatenated."""
        return self.concat or tuple(range(2, 2 + self.nodes))
