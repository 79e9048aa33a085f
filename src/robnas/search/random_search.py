"""Random search: what every other method must beat (Li and Talwalkar, 2019)."""

from robnas import seeds
from robnas.search.sampled import Sampled
from robnas.space.genotype import Genotype
from robnas.space.percentile import random_genotype


class Random(Sampled):
    """Random search: uniform over all cells, the best is kept; sampled (Li and Talwalkar, 2019).

    Uniform over all cells of the space; the best of k is kept.

    With shared weights this is the random search of Li and Talwalkar (2019, §3.2): the weights are trained on uniform paths, then k
    architectures are scored with them (1,000 of theirs). They score the best ten once more, on the whole validation set; we do not.
    `finalists: 1` is a single uniform draw, whatever the scores.
    """

    def ask(self) -> Genotype:
        """A uniform draw: two cells that differ in the order of a node's edges alone are one cell."""
        return random_genotype(self.space, seeds.derive(self.seed, "searcher", "ask"), self.count())
