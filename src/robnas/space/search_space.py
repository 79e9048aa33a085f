"""The cell-based search space (§2.1, §3.1): which operations, how many nodes, what a cell may look like. Torch-free."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from robnas.errors import require, unknown

if TYPE_CHECKING:
    from robnas.space.genotype import Edge

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
        loose_ends: a derived cell concatenates the nodes that no other node reads, as NASNet (Zoph et al., 2018, §3), AmoebaNet and ENAS
            do; `concat` is empty then.
        repeats: a node may use one source twice, as theirs may.

    Raises UserError for fewer nodes or sources than one, for no, repeated or unknown operations, where `concat` names a node twice or one
    that there is not, and where it and `loose_ends` contradict each other.
    """

    operations: tuple[str, ...] = OPERATIONS
    nodes: int = 4
    sources: int = 2
    concat: tuple[int, ...] = ()
    loose_ends: bool = False
    repeats: bool = False

    def __post_init__(self) -> None:
        require(self.nodes >= 1, f"nodes: {self.nodes} is below 1")
        require(self.sources >= 1, f"sources: {self.sources} is below 1")
        require(len(self.operations) > 0, "operations: there is none; allowed: at least one")
        for operation in self.operations:
            if operation not in OPERATIONS:
                raise unknown("operation", operation, OPERATIONS)
        require(len(set(self.operations)) == len(self.operations), f"operations: {list(self.operations)} has one of them twice")
        known, concat = range(2, 2 + self.nodes), list(self.concat)
        require(set(concat) <= set(known), f"concat: {concat} are not all among nodes {list(known)}")
        require(len(set(concat)) == len(concat), f"concat: {concat} has a node twice")
        fits = not (self.loose_ends and self.concat)
        require(
            fits, f"concat: {list(self.concat)}, but with loose_ends the cell itself decides which nodes are concatenated; leave it empty"
        )

    @cached_property
    def edges(self) -> tuple[tuple[int, int], ...]:
        """(node, source) of every possible edge, in DARTS's order: node 2 from 0, 1; node 3 from 0, 1, 2; …"""
        return tuple((node, source) for node in range(2, 2 + self.nodes) for source in range(node))

    @cached_property
    def outputs(self) -> tuple[int, ...]:
        """The nodes that a supernet concatenates, and a cell too unless `loose_ends`."""
        return self.concat or tuple(range(2, 2 + self.nodes))

    def outputs_of(self, nodes: Iterable[Iterable[Edge]]) -> tuple[int, ...]:
        """The nodes that a cell concatenates. nodes: edges into nodes 2, 3, …"""
        read = {edge.source for edges in nodes for edge in edges} if self.loose_ends else set()
        return tuple(node for node in self.outputs if node not in read)
