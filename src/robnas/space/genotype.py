"""What an architecture is (§2.1): two cells, each a small directed acyclic graph of operations. Torch-free and immutable."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, cast

import yaml

from robnas.errors import UserError, require, short, unknown
from robnas.space.search_space import CELL_KINDS, OPERATIONS

LONGEST = 64 * 1024
"""Characters of a text that is read as a genotype; the longest published one has 700."""

MOST = 100
"""Nodes of a cell, edges of a node and outputs in a file; aliases make more of them than its length lets one think."""


class Edge(NamedTuple):
    """`operation` on what comes from `source`: 0 is the output of the last cell but one, 1 that of the last cell, i ≥ 2 is node i."""

    operation: str
    source: int


@dataclass(frozen=True, eq=False)
class Cell:
    """A cell: every node sums its edges, the output concatenates some nodes.

    Args:
        nodes: edges into nodes 2, 3, …: a multiset each, so one source may feed a node twice. Their order is kept, as it numbers the
            modules of the network, but two cells that differ in it alone are equal.
        concat: the nodes that make up the output, in this order.

    Raises UserError, in one line, where this is no cell.
    """

    nodes: tuple[tuple[Edge, ...], ...]
    concat: tuple[int, ...]

    def __post_init__(self) -> None:
        require(len(self.nodes) > 0, "a cell has no nodes")
        for node, edges in self.numbered():
            require(len(edges) > 0, f"node {node} has no edges: every node needs at least one")
            for edge in edges:
                _check(edge, node)
        require(len(self.concat) > 0, "concat is empty: a cell needs at least one output node")
        for node in self.concat:
            if type(node) is not int or not 2 <= node < 2 + len(self.nodes):
                raise UserError(f"concat: {short(node)} is not a node of this cell; allowed: 2 to {1 + len(self.nodes)}")
        if len(set(self.concat)) != len(self.concat):
            raise UserError(f"concat: {short(list(self.concat))} names a node twice")

    def numbered(self) -> Iterator[tuple[int, tuple[Edge, ...]]]:
        """(2, edges into node 2), (3, edges into node 3), …"""
        return enumerate(self.nodes, start=2)

    @cached_property
    def depth(self) -> int:
        """Edges on the longest path from the cell's inputs to its output, the last one (node → output) included: Table 3."""
        longest = [0, 0]
        for edges in self.nodes:
            longest.append(max((1 + longest[e.source] for e in edges if e.operation != "zero"), default=0))
        return 1 + max(longest[node] for node in self.concat)

    @cached_property
    def width(self) -> int:
        """Nodes all of whose sources are inputs of the cell: Table 3."""
        return sum(all(e.source < 2 for e in edges) for edges in self.nodes)

    @cached_property
    def skips(self) -> int:
        """Skip connects: Table 3."""
        return sum(e.operation == "skip_connect" for edges in self.nodes for e in edges)

    @cached_property
    def convolutions(self) -> int:
        """Operations with weights, whatever their kernel: their number is in Fig. 14's discussion (Guo et al., 2020)."""
        return sum("conv" in e.operation for edges in self.nodes for e in edges)

    @cached_property
    def density(self) -> float:
        """Share of the possible connections that the cell has, from 0 to 1 (Guo et al., 2020; Fig. 14's discussion).

        A connection is a pair of nodes; every node may read all before it. One is there if any operation but zero is on it, so two
        operations from one source count once. What leads to the output does not count.
        """
        there = sum(len({e.source for e in edges if e.operation != "zero"}) for edges in self.nodes)
        return there / sum(node for node, _ in self.numbered())

    @cached_property
    def used(self) -> frozenset[int]:
        """Inputs and nodes from which a path leads to the output. The others cost nothing: a network leaves them out."""
        used = set(self.concat)
        for node, edges in reversed(list(self.numbered())):
            if node in used:
                used.update(e.source for e in edges)
        return frozenset(used)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Cell) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)

    @cached_property
    def _key(self) -> tuple[Any, ...]:
        return tuple(tuple(sorted(edges)) for edges in self.nodes), self.concat

    def to_dict(self) -> dict[str, Any]:
        """Plain lists: {"nodes": [[["sep_conv_3x3", 0], …], …], "concat": [2, …]}."""
        return {"nodes": [[[e.operation, e.source] for e in edges] for edges in self.nodes], "concat": list(self.concat)}

    @classmethod
    def from_dict(cls, data: Any) -> Cell:
        """The reverse of `to_dict`, from whatever a file held. Raises UserError."""
        if not isinstance(data, Mapping):
            raise UserError(f"expected nodes and concat, got {short(data)}")
        for key in data:
            if key not in ("nodes", "concat"):
                raise unknown("key of a cell", _name(key), ("nodes", "concat"))
        for key in ("nodes", "concat"):
            require(key in data, f"{key} is missing")
            if not isinstance(data[key], list | tuple):
                raise UserError(f"{key} is no list: {short(data[key])}")
            require(len(data[key]) <= MOST, f"{key} has {len(data[key])} entries; at most {MOST} are read")
        return cls(tuple(_edges(node, edges) for node, edges in enumerate(data["nodes"], start=2)), tuple(data["concat"]))


@dataclass(frozen=True)
class Genotype:
    """The architecture of a whole network: the cell that keeps the resolution and the cell that halves it."""

    normal: Cell
    reduce: Cell

    def __post_init__(self) -> None:
        for kind, cell in self.cells.items():
            if not isinstance(cell, Cell):
                raise UserError(f"{kind} is no cell: {short(cell)}")

    @property
    def cells(self) -> dict[str, Cell]:
        """Both cells by kind, in the order of `CELL_KINDS`."""
        return {"normal": self.normal, "reduce": self.reduce}

    def to_dict(self) -> dict[str, Any]:
        """Plain lists for hparams and YAML: {"normal": {"nodes": …, "concat": …}, "reduce": …}."""
        return {kind: cell.to_dict() for kind, cell in self.cells.items()}

    @classmethod
    def from_dict(cls, data: Any) -> Genotype:
        """The reverse of `to_dict`. Raises UserError that names the cell and the node."""
        if not isinstance(data, Mapping):
            raise UserError(f"a genotype has a normal and a reduce cell, got {short(data)}")
        for key in data:
            if key not in CELL_KINDS:
                raise unknown("key of a genotype", _name(key), CELL_KINDS)
        return cls(**{kind: _cell(kind, data) for kind in CELL_KINDS})

    def to_yaml(self) -> str:
        """One line a node: what `genotype.yaml` holds."""
        lines = []
        for kind, cell in self.cells.items():
            lines += [f"{kind}:", "  nodes:"]
            for node, edges in cell.numbered():
                listed = ", ".join(f"[{e.operation}, {e.source}]" for e in edges)
                lines.append(f"  - [{listed}]  # node {node}")
            lines.append(f"  concat: [{', '.join(map(str, cell.concat))}]")
        return "\n".join(lines) + "\n"

    @classmethod
    def from_yaml(cls, text: str) -> Genotype:
        """From `to_yaml`'s text, or the same as JSON. Raises UserError."""
        require_length(text)
        try:
            data = yaml.load(text, Loader=_Loader)
        except _UNREADABLE as e:
            raise UserError(f"genotype is no YAML: {' '.join(str(e).split()):.200}") from None
        return cls.from_dict(data)

    @classmethod
    def parse(cls, text: str) -> Genotype:
        """From the text `Genotype(normal=[('sep_conv_3x3', 0), …], normal_concat=range(2, 6), …)`; see `robnas.space.text`."""
        from robnas.space.text import parse

        return parse(text)


def require_length(text: str) -> None:
    """Raises UserError where a text is longer than any genotype."""
    require(len(text) <= LONGEST, f"genotype text is longer than {LONGEST:,} characters")


class _Loader(yaml.SafeLoader):
    """Without merge keys (`<<`): no genotype has them, and a short text could make them grow without bound."""

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        pass


_UNREADABLE = (yaml.YAMLError, ValueError, TypeError, LookupError, AttributeError, RecursionError, MemoryError, OverflowError)
"""What PyYAML raises: its own errors, and what Python says of a 13th month, 5,000 digits, `!!bool maybe` or a thousand brackets."""


def _check(edge: Edge, node: int) -> None:
    if not isinstance(edge, Edge):
        raise UserError(f"node {node}: {short(edge)} is no edge; expected [operation, source]")
    if not isinstance(edge.operation, str):
        raise UserError(f"node {node}: operation {short(edge.operation)} is no name")
    if edge.operation not in OPERATIONS:
        raise unknown(f"operation (node {node})", edge.operation, OPERATIONS)
    if type(edge.source) is not int:
        raise UserError(f"node {node}: source {short(edge.source)} is no whole number")
    if not 0 <= edge.source < node:
        source = short(edge.source)
        raise UserError(f"node {node}: source {source} does not come before it, and a cell has no cycles; allowed: 0 to {node - 1}")


def _name(key: Any) -> str:
    return key if isinstance(key, str) else short(key)


def _edges(node: int, edges: Any) -> tuple[Edge, ...]:
    if not isinstance(edges, list | tuple):
        raise UserError(f"node {node}: expected a list of edges, got {short(edges)}")
    require(len(edges) <= MOST, f"node {node} has {len(edges)} edges; at most {MOST} are read")
    for edge in edges:
        if not isinstance(edge, list | tuple) or len(edge) != 2:
            raise UserError(f"node {node}: {short(edge)} is no edge; expected [operation, source]")
    return tuple(Edge(*cast("tuple[str, int]", tuple(edge))) for edge in edges)


def _cell(kind: str, data: Mapping[str, Any]) -> Cell:
    require(kind in data, f"genotype has no {kind} cell")
    try:
        return Cell.from_dict(data[kind])
    except UserError as e:
        raise UserError(f"genotype, {kind} cell: {e}") from None
