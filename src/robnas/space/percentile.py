"""Where an architecture stands among random ones of its own space."""

from collections.abc import Sequence
from functools import cache
from random import Random

from robnas.space.genotype import Cell, Edge, Genotype
from robnas.space.search_space import OPERATIONS, Space


def random_cell(space: Space, random: Random) -> Cell:
    """Uniform: each node draws its sources without repetition, each of them an operation of the space, zero excepted."""
    operations = [o for o in space.operations if o != "zero"]
    nodes = []
    for node in range(2, 2 + space.nodes):
        sources = sorted(random.sample(range(node), min(space.sources, node)))
        nodes.append(tuple(Edge(random.choice(operations), source) for source in sources))
    return Cell(tuple(nodes), space.outputs)


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
