"""Where an architecture stands among random ones of its own space."""

from collections.abc import Sequence
from functools import cache
from random import Random

from robnas.space.genotype import Cell, Edge, Genotype
from robnas.space.search_space import OPERATIONS, Space


def random_cell(space: Space, random: Random) -> Cell:
    """Uniform over all cells of the space without zeros: two that differ in the order of a node's edges alone are one cell.

    So each node draws a set of sources and for each an operation; where `space.repeats`, a multiset of (operation, source) pairs.
    """
    operations = [o for o in space.operations if o != "zero"]
    draw = _multiset if space.repeats else _set
    nodes = tuple(draw(space.sources, operations, node, random) for node in range(2, 2 + space.nodes))
    return Cell(nodes, space.outputs_of(nodes))


def _set(k: int, operations: Sequence[str], node: int, random: Random) -> tuple[Edge, ...]:
    sources = sorted(random.sample(range(node), min(k, node)))
    return tuple(Edge(random.choice(operations), source) for source in sources)


def _multiset(k: int, operations: Sequence[str], node: int, random: Random) -> tuple[Edge, ...]:
    """c₀ < c₁ < … of n + k − 1 numbers ↔ c₀ ≤ c₁ − 1 ≤ … of n: every multiset of k of the n pairs is as likely as any other."""
    pairs = [Edge(operation, source) for source in range(node) for operation in operations]
    drawn = sorted(random.sample(range(len(pairs) + k - 1), k))
    return tuple(pairs[c - i] for i, c in enumerate(drawn))


def random_genotype(space: Space, seed: int, number: int = 0) -> Genotype:
    """Genotype `number` of a sequence that `seed` names; it does not depend on how many were drawn before."""
    random = Random(f"genotype {number} of {seed}")
    return Genotype(normal=random_cell(space, random), reduce=random_cell(space, random))


@cache
def random_genotypes(nodes: int, n: int, seed: int = 0) -> tuple[Genotype, ...]:
    """n genotypes with all ten operations, two sources a node, and every node in the output: DARTS's space with `nodes` nodes."""
    return tuple(random_genotype(Space(OPERATIONS, nodes), seed, number) for number in range(n))


def percentile(value: float, others: Sequence[float]) -> float:
    """Share of `others` below `value`, in percent; equal ones count half."""
    return 100 * sum((v < value) + (v == value) / 2 for v in others) / len(others)
