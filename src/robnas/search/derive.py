"""From continuous weights to a discrete architecture (§2.1: "the most likely operation"; Liu et al., 2019, §2.4)."""

from collections.abc import Mapping, Sequence

from torch import Tensor

from robnas.errors import require
from robnas.space.genotype import Cell, Edge, Genotype
from robnas.space.search_space import CELL_KINDS, Space


def top_two_edges(space: Space, weights: Mapping[str, Tensor]) -> Genotype:
    """Each node keeps its `space.sources` (two) strongest edges, and each of them its strongest operation.

    An edge is as strong as its best operation but zero. Where `space.repeats`, a node keeps its strongest pairs of operation and source
    instead, and so perhaps two operations of one edge. Ties go to the earlier source and to the earlier operation, as in the code of
    Liu et al. A node's edges are listed from strong to weak, as published genotypes are.

    Args:
        space: orders edges and operations.
        weights: per cell kind [E, O].

    Raises:
        UserError: the space has no operation but zero.
    """
    require(set(space.operations) != {"zero"}, "operations: a cell of zeros alone is no cell; allowed: at least one operation but zero")
    return Genotype(**{kind: _cell(space, weights[kind].tolist()) for kind in CELL_KINDS})


def _cell(space: Space, weights: Sequence[Sequence[float]]) -> Cell:
    incoming: dict[int, list[tuple[float, Edge]]] = {}
    for (node, source), row in zip(space.edges, weights, strict=True):
        pairs = [(w, Edge(o, source)) for o, w in zip(space.operations, row, strict=True) if o != "zero"]
        incoming.setdefault(node, []).extend(pairs if space.repeats else [max(pairs, key=_first)])
    strongest = (sorted(pairs, key=_first, reverse=True)[: space.sources] for pairs in incoming.values())  # the sort is stable
    nodes = tuple(tuple(edge for _, edge in pairs) for pairs in strongest)
    return Cell(nodes, space.outputs_of(nodes))


def _first(pair: tuple[float, object]) -> float:
    return pair[0]
