"""Searchers that are asked for an architecture and told its score: ENAS, NASNet, AmoebaNet, Random."""

import math
from abc import abstractmethod
from random import Random
from typing import Any, NamedTuple

from robnas import seeds
from robnas.errors import require
from robnas.search.base import Searcher
from robnas.space.genotype import Genotype
from robnas.space.percentile import random_genotype


class Told(NamedTuple):
    """An architecture and its score, higher is better."""

    genotype: Genotype
    score: float


class Sampled(Searcher):
    """Asked for an architecture, told how good it was; the score comes from a replaceable evaluator.

    Its author writes `ask`, and `tell` where scores change what is asked next. Whatever is drawn for the n-th `ask` is a function of
    (seed, purpose, n), and `state` holds n: so a search goes on bit for bit. An architecture may be told late, as a worker finishes
    it, but as `ask` returned it, the order of a node's edges included.

    Args:
        finalists: `derive` chooses among so many as were told last, at most a round's where scores of two rounds cannot be compared;
            among all if None, as they were told.
    """

    task = "SampledSearch"

    def __init__(self, finalists: int | None = None) -> None:
        super().__init__()
        require(finalists is None or finalists >= 1, f"finalists: {finalists} is less than 1; allowed: 1, 2, … or null for all")
        self.finalists = finalists
        self.asked = 0
        """How many architectures have been asked for."""
        self.told: list[Told] = []
        """Those among whom `derive` chooses, oldest first; of all that were ever told, the best alone is kept."""

    @abstractmethod
    def ask(self) -> Genotype:
        """The next architecture to be scored."""

    def ask_many(self, n: int) -> list[Genotype]:
        """As many calls of `ask`, which may be faster together."""
        return [self.ask() for _ in range(n)]

    def tell(self, genotype: Genotype, score: float) -> None:
        """`score` of an architecture that was asked for; higher is better. Raises UserError where it is not finite."""
        require(math.isfinite(score), f"score: {score} is not finite; an evaluator gives every architecture a number")
        self.told.append(Told(genotype, float(score)))
        self.told = self.told[-self.finalists :] if self.finalists else [self._best()]

    def sample(self) -> Genotype:
        """The path on which shared weights are trained in this step; uniform over the space unless a method says otherwise."""
        return random_genotype(self.space, seeds.derive(self.seed, "searcher", "path"), self.step)

    def derive(self) -> Genotype:
        """The best of those told, the first of equals; before any was told, a uniform draw."""
        return self._best().genotype if self.told else random_genotype(self.space, seeds.derive(self.seed, "searcher", "derive"))

    def figures(self) -> dict[str, float]:
        """How many architectures were asked for, and the best score among the finalists."""
        return {"asked": float(self.asked)} | ({"best_score": self._best().score} if self.told else {})

    def state(self) -> dict[str, Any]:
        """Counter and finalists, in plain values and tensors. A subclass adds to it whatever the next `ask` depends on: ranks begin
        with that of the first one, and are stopped where theirs differ.
        """
        return {"asked": self.asked, "told": dump(self.told)}

    def rebuild(self, state: dict[str, Any]) -> None:
        """The reverse of `state`."""
        self.asked, self.told = state["asked"], load(state["told"])

    def count(self) -> int:
        """The number of this `ask`, from 0: what its random numbers are drawn from."""
        self.asked += 1
        return self.asked - 1

    def random(self, purpose: str, number: int) -> Random:
        """Python's random numbers for one purpose of one `ask`."""
        return Random(seeds.derive(self.seed, "searcher", purpose, number))

    def _best(self) -> Told:
        return max(self.told, key=lambda told: told.score)


def dump(told: list[Told]) -> list[tuple[dict[str, Any], float]]:
    """Plain values, as a checkpoint holds them."""
    return [(genotype.to_dict(), score) for genotype, score in told]


def load(told: list[tuple[dict[str, Any], float]]) -> list[Told]:
    """The reverse of `dump`."""
    return [Told(Genotype.from_dict(genotype), score) for genotype, score in told]
