"""AmoebaNet (Real et al., 2019): ageing evolution, §3 "Evolutionary algorithm" and Algorithm 1."""

from collections.abc import Iterator
from dataclasses import replace
from random import Random
from statistics import fmean
from typing import Any, ClassVar, NamedTuple

from robnas import seeds
from robnas.errors import require
from robnas.search.sampled import Sampled, Told, dump, load
from robnas.space.genotype import Edge, Genotype
from robnas.space.percentile import random_genotype
from robnas.space.search_space import Space

MUTATIONS = ("operation", "source")
"""What one mutation changes: the paper's op mutation and hidden state mutation."""


class AmoebaNet(Sampled):
    """AmoebaNet: evolution in which the oldest member dies; sampled (Real et al., 2019).

    A population in which the oldest dies, however good it is, so that only what keeps being found again lives on.

    Algorithm 1: (1) `population` uniform draws; then for each child (2) the best of `tournament` members, drawn with replacement, is its
    parent, (3) one mutation makes the child, (4) the child joins once it is scored, and (5) the oldest leaves. The result is the best
    of the whole history. Children may be scored side by side, as theirs are: parents then come from whoever is there.

    Args:
        population: P, members.
        tournament: S, members drawn for each tournament.
        identity: probability that a child is its parent unchanged.
    """

    scales: ClassVar[dict[str, dict[str, Any]]] = {
        "tiny": {"population": 8, "tournament": 3, "model": {"proposals": 4}, "trainer": {"max_epochs": 6}},  # 24 children
    }

    def __init__(self, population: int = 100, tournament: int = 25, identity: float = 0.05) -> None:
        super().__init__()
        require(population >= 1, f"population: {population} is less than 1")
        require(1 <= tournament <= population, f"tournament: {tournament} is not between 1 and the population, {population}")
        require(0 <= identity <= 1, f"identity: {identity} is not in [0, 1]")
        self.population, self.tournament, self.identity = population, tournament, identity
        self.members: list[Told] = []
        """The living, oldest first."""

    def ask(self) -> Genotype:
        """A uniform draw while the population is being filled, then a child of a tournament's winner."""
        number = self.count()
        if number < self.population or not self.members:
            return random_genotype(self.space, seeds.derive(self.seed, "searcher", "ask"), number)
        random = self.random("child", number)
        parent = max(random.choices(self.members, k=self.tournament), key=lambda member: member.score).genotype
        return parent if random.random() < self.identity else mutate(parent, self.space, random)

    def tell(self, genotype: Genotype, score: float) -> None:
        """The newest joins, the oldest dies."""
        super().tell(genotype, score)
        self.members = [*self.members, Told(genotype, float(score))][-self.population :]

    def figures(self) -> dict[str, float]:
        """And the population's mean score."""
        return super().figures() | ({"mean_score": fmean(m.score for m in self.members)} if self.members else {})

    def state(self) -> dict[str, Any]:
        """And the population."""
        return super().state() | {"members": dump(self.members)}

    def rebuild(self, state: dict[str, Any]) -> None:
        """The reverse of `state`."""
        super().rebuild(state)
        self.members = load(state["members"])


class Change(NamedTuple):
    """`edge` in place of edge `place` of a node (counted from 0) of a cell."""

    kind: str
    node: int
    place: int
    edge: Edge


def mutate(genotype: Genotype, space: Space, random: Random) -> Genotype:
    """One operation or one source is another: which of the two, and of which edge of either cell, is uniform; so is what it becomes.

    The paper's list of replacements may hold the old value; ours does not, as `identity` says how often nothing changes. Where the space
    has no other source (or operation) for any edge, the other mutation is done, and none where there is no other genotype.
    """
    for mutation in random.sample(MUTATIONS, 2):
        changes: dict[tuple[str, int, int], list[Change]] = {}
        for change in neighbours(genotype, space, mutation):
            changes.setdefault(change[:3], []).append(change)
        if changes:
            return changed(genotype, space, random.choice(changes[random.choice(list(changes))]))
    return genotype


def neighbours(genotype: Genotype, space: Space, mutation: str) -> Iterator[Change]:
    """Every way in which one mutation changes a genotype inside its space."""
    for kind, cell in genotype.cells.items():
        for node, edges in enumerate(cell.nodes):
            for place, (operation, source) in enumerate(edges):
                taken = {source} if space.repeats else {edge.source for edge in edges}
                if mutation == "operation":
                    others = [Edge(o, source) for o in space.operations if o not in (operation, "zero")]
                else:
                    others = [Edge(operation, s) for s in range(node + 2) if s not in taken]
                yield from (Change(kind, node, place, edge) for edge in others)


def changed(genotype: Genotype, space: Space, change: Change) -> Genotype:
    """The genotype with one edge replaced, and what it concatenates by the rule of the space."""
    nodes = [list(edges) for edges in genotype.cells[change.kind].nodes]
    nodes[change.node][change.place] = change.edge
    done = tuple(tuple(edges) for edges in nodes)
    cell = replace(genotype.cells[change.kind], nodes=done, concat=space.outputs_of(done))
    return replace(genotype, **{change.kind: cell})
