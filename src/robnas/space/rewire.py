"""Changes to a cell by hand (§5.2): deeper, or with other operations. So DARTS-i, -ii and -iii come from DARTS."""

from collections.abc import Callable, Sequence

from robnas.errors import UserError, unknown
from robnas.space.genotype import Cell, Edge, Genotype
from robnas.space.search_space import OPERATIONS

SIBLING = "sibling"
"""As a new operation: that of the other edge into the same node, which is how the authors' cells DARTS-ii and -iii came about."""


def deepen(genotype: Genotype, kinds: Sequence[str] = ("normal",)) -> Genotype:
    """Feeds every node but the first by the node before it alone, through the operations it had: DARTS → DARTS-i (Fig. 15).

    A chain is as deep as its nodes allow (their number and one), and of width 1. The paper leaves the reduction cell as it was.
    """
    return _change(genotype, kinds, lambda node, edges: edges if node == 2 else tuple(Edge(e.operation, node - 1) for e in edges))


def replace(genotype: Genotype, old: str, new: str, kinds: Sequence[str] = ("normal",)) -> Genotype:
    """Puts `new` wherever `old` is; new="sibling": the operation of another edge into the same node (DARTS → DARTS-ii).

    The text of §5.2 says 3×3 convolutions throughout; the authors' cells have a dilated one where the skip's sibling is dilated.

    Raises UserError on an unknown operation, and where `old` has no sibling but itself.
    """
    if old not in OPERATIONS:
        raise unknown("operation to replace", old, OPERATIONS)
    if new not in (*OPERATIONS, SIBLING):
        raise unknown("operation to put there", new, (*OPERATIONS, SIBLING))

    def change(node: int, edges: tuple[Edge, ...]) -> tuple[Edge, ...]:
        return tuple(Edge(sibling(node, edges) if new == SIBLING else new, e.source) if e.operation == old else e for e in edges)

    def sibling(node: int, edges: tuple[Edge, ...]) -> str:
        for e in edges:
            if e.operation != old:
                return e.operation
        raise UserError(f"node {node} has no edge but {old}: {SIBLING!r} has nothing to put there; name an operation")

    return _change(genotype, kinds, change)


def _change(genotype: Genotype, kinds: Sequence[str], change: Callable[[int, tuple[Edge, ...]], tuple[Edge, ...]]) -> Genotype:
    cells = genotype.cells
    for kind in kinds:
        cell = cells[kind]
        cells[kind] = Cell(tuple(change(node, edges) for node, edges in cell.numbered()), cell.concat)
    return Genotype(**cells)
