"""A sampled search over one convolution, and an evaluator that reads scores from a table, for tests that are about the task."""

from typing import ClassVar

from torch import nn

from robnas.search.evaluator import Evaluator
from robnas.search.random_search import Random
from robnas.search.shared_weights import SharedWeights
from robnas.space.search_space import Space
from robnas.tasks.sampled_search import SampledSearch
from small_supernet import SmallSupernet

SPACE = Space(operations=("zero", "skip_connect", "sep_conv_3x3"), nodes=2)


class SmallSampled(SampledSearch):
    def build_supernet(self, num_classes: int, in_channels: int) -> nn.Module:
        small = SmallSupernet(self.space, num_classes, in_channels)
        return small if self.evaluator.shares_weights else super().build_supernet(num_classes, in_channels)


class Skips(Evaluator):
    """Skip connects of the normal cell: a score that needs no network, the same for ever."""

    seen: ClassVar[list[int]] = []
    """How many were asked for each time."""

    def scores(self, genotypes, scene):
        self.seen.append(len(genotypes))
        return [float(g.normal.skips) for g in genotypes]


class Again(Random):
    """Two architectures, in turn."""

    def ask(self):
        self.asked = self.asked % 2
        return super().ask()


def search(evaluator=None, searcher=None, kind=SmallSampled, **arguments):
    return kind(searcher or Random(), evaluator or SharedWeights(), **{"space": SPACE, "seed": 3} | arguments)
