"""Spaces small enough to be enumerated, and scores of which the best architecture is known."""

from itertools import product

import torch

from robnas import seeds
from robnas.space.genotype import Genotype
from robnas.space.search_space import CELL_KINDS, Space

ARMS = Space(operations=("zero", "skip_connect", "sep_conv_3x3"), nodes=1, sources=1)
"""Each cell: a source of two, an operation of two."""
NASNET = Space(nodes=5, loose_ends=True, repeats=True)
"""NASNet's, AmoebaNet's and ENAS's kind of cell."""


def all_decisions(controller) -> torch.Tensor:
    """Every sequence of decisions that a controller can make, [·, T]; those of a source taken twice are left out where not allowed."""
    space, choices = controller.space, []
    for _ in CELL_KINDS:
        for node, k in controller.edges.items():
            sources = [s for s in product(range(node), repeat=k) if space.repeats or len(set(s)) == k]
            choices += [sources, list(product(range(len(controller.operations)), repeat=k))]
    return torch.tensor([[d for part in parts for d in part] for parts in product(*choices)])


class Accuracy:
    """A table in place of an accuracy: for each kind of cell operations have a worth, and so have edges; a genotype has their mean.

    Operations weigh more, as they do in a network. `best` is the greatest of all.
    """

    def __init__(self, space: Space, seed: int) -> None:
        self.space, g = space, seeds.generator(seed, "table")
        draw = lambda *shape: torch.rand(shape, generator=g, dtype=torch.float64)  # noqa: E731
        worth = {kind: 0.7 * draw(1, len(space.operations)) + 0.3 * draw(len(space.edges), 1) for kind in CELL_KINDS}
        self.worth = {kind: table.tolist() for kind, table in worth.items()}
        self.edges = 2 * sum(min(space.sources, node) for node in range(2, 2 + space.nodes))

    def __call__(self, genotype: Genotype) -> float:
        found = [self._worth(kind, node, *e) for kind, cell in genotype.cells.items() for node, edges in cell.numbered() for e in edges]
        return sum(found) / self.edges

    def best(self) -> float:
        """Of a space without repeats: each node takes its best sources, and of each the best operation."""
        operations, space, total = [o for o in self.space.operations if o != "zero"], self.space, 0.0
        for kind, node in product(CELL_KINDS, range(2, 2 + space.nodes)):
            edges = sorted(max(self._worth(kind, node, o, source) for o in operations) for source in range(node))
            total += sum(edges[-space.sources :])
        return total / self.edges

    def _worth(self, kind: str, node: int, operation: str, source: int) -> float:
        return self.worth[kind][self.space.edges.index((node, source))][self.space.operations.index(operation)]


def search(searcher, score, space: Space, seed: int, budget: int, batch: int) -> Genotype:
    """Asks and tells `budget` times, `batch` at a time → what is derived."""
    searcher.build(space, seed)
    for _ in range(budget // batch):
        for genotype in searcher.ask_many(batch):
            searcher.tell(genotype, score(genotype))
    return searcher.derive()
