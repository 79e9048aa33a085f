"""P-DARTS (Chen et al., 2019): the supernet grows in stages, while operations are dropped (§3.2.1) and skip connects held back (§3.2.2)."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from robnas import seeds
from robnas.errors import require
from robnas.search.base import Relaxed, Stage
from robnas.search.derive import top_two_edges
from robnas.search.stages import prune, require_all, require_dropping, require_each, require_fewer, span
from robnas.space.genotype import Genotype
from robnas.space.mixture import Mixture
from robnas.space.search_space import Space


class PDARTS(Relaxed):
    """P-DARTS: DARTS with a supernet that grows in stages; relaxed (Chen et al., 2019).

    DARTS with a supernet that grows in stages, while every edge drops its least likely operations and skip connects are held back.

    Stages are of equal length. Between two of them operations are dropped, and all else starts anew: α, weights, optimizers.
    The architecture stands still in the first 10 of a stage's 25 epochs: `architecture_warmup` of the task, counted in the stage.
    γ (§5.2) damps the skip connect beside the dropout; which operations are dropped is decided by the weights that `derive_from` names.

    Ours, where the paper says otherwise or nothing:
    - It keeps 8, 5 and 3 operations on an edge; `keep` has the same shares of our ten, 6 (of 6.25) and 4 (of 3.75).
    - It says that dropout decays within a stage, not how; ours falls on a line from the stage's rate to zero. Its authors' code has such
      a line while the architecture stands still, and then begins again and falls exponentially, by 0.2 an epoch. While the architecture
      moves, in epochs 10 to 24, our mean is 0.32 of the stage's rate, and theirs 0.35.
    - The paper's dropout begins at 0, 0.4 and 0.7 on CIFAR10, as ours does; the README of its authors' code has 0.1, 0.4 and 0.7.
    - Its authors' code clips α's gradient as it clips that of the weights; ours does not.

    Args:
        add_layers: cells beyond those of the task in each stage (5, 11 and 17 cells where the task has 5).
        keep: operations that an edge has left in each stage but the first. At least 3, so that beside zero and the skip connect there is
            one to fall back on.
        dropout: probability at the beginning of each stage with which a value on an identity skip is left out (these: on CIFAR10).
        max_skips: M, skip connects of the normal cell (§3.2.2: 2).
        arguments: of `Relaxed`.
    """

    # Three epochs a stage, of which α stands still in one.
    scales: ClassVar[dict[str, dict[str, Any]]] = {
        "tiny": {"add_layers": [0, 1, 2], "model": {"architecture_warmup": 1}, "trainer": {"max_epochs": 9}},
    }

    def __init__(
        self,
        add_layers: tuple[int, ...] = (0, 6, 12),
        keep: tuple[int, ...] = (6, 4),
        dropout: tuple[float, ...] = (0.0, 0.4, 0.7),
        max_skips: int = 2,
        **arguments: Any,
    ) -> None:
        super().__init__(**arguments)
        self.add_layers, self.keep, self.dropout, self.max_skips = tuple(add_layers), tuple(keep), tuple(dropout), max_skips
        stages = len(self.add_layers)
        require_each("add_layers", self.add_layers, stages, least=0)
        require_each("dropout", self.dropout, stages, least=0)
        require_fewer(self.keep, stages, least=3)
        require(max(self.dropout) < 1, f"dropout: {list(dropout)} reaches 1")
        require(max_skips >= 0, f"max_skips: {max_skips} is negative")
        self.rate = self.dropout[0]
        """Probability of dropout in this epoch."""

    def build(self, space: Space, seed: int) -> None:
        """α as in DARTS. Raises UserError where nothing would be dropped."""
        require_dropping(self.keep, space)
        super().build(space, seed)

    def require_time(self, epochs: int) -> None:
        """Raises UserError where a stage has no epoch."""
        require_all(epochs, len(self.add_layers))

    def stage(self, epoch: int, max_epochs: int) -> Stage:
        """The supernet grows from stage to stage, and its weights start anew."""
        number, first, epochs = span(epoch, max_epochs, len(self.add_layers))
        return Stage(number, first, epochs, layers=self.add_layers[number], fresh=True)

    def epoch_start(self, epoch: int, max_epochs: int) -> None:
        """Where a stage begins: drops operations, and draws α anew. Every epoch: dropout decays."""
        stage = self.stage(epoch, max_epochs)
        if prune(self, stage, epoch, self.keep):
            for kind, alpha in self.alpha.items():
                generator = seeds.generator(self.seed, "alpha", kind, stage.number)
                alpha.data.copy_(self.init_scale * torch.randn(alpha.shape, dtype=torch.float64, device="cpu", generator=generator))
        self.rate = self.dropout[stage.number] * (1 - (epoch - stage.first) / stage.epochs)

    def mixture(self) -> Mixture:
        """With dropout on skip connects, so that what else there is learns first (§3.2.2)."""
        return replace(super().mixture(), dropout=self.rate)

    def derive(self) -> Genotype:
        """As in DARTS, with at most `max_skips` skip connects in the normal cell."""
        return with_few_skips(self.space, self.weights(), self.max_skips)

    def figures(self) -> dict[str, float]:
        """The rate of dropout, and what every relaxed search has."""
        return super().figures() | {"skip_dropout": self.rate}

    def state(self) -> dict[str, Any]:
        """The rate of dropout, and what every relaxed search has."""
        return super().state() | {"rate": self.rate}

    def rebuild(self, state: dict[str, Any]) -> None:
        """The reverse of `state`."""
        super().rebuild(state)
        self.rate = state["rate"]


def with_few_skips(space: Space, weights: Mapping[str, Tensor], most: int) -> Genotype:
    """Two edges a node, but not more than `most` skip connects in the normal cell (§3.2.2).

    While a cell has too many, the weakest of those that it keeps is given up, its weight set to zero, and the cell derived again: that
    may bring in another skip connect. (The paper gives up all but the strongest `most` at once; it comes to the same.)

    Args:
        space: orders edges and operations.
        weights: per kind of cell [E, O].
        most: M.
    """
    weights = {kind: w.clone() for kind, w in weights.items()}
    while True:
        genotype = top_two_edges(space, weights)
        skips = _skips(space, genotype, weights["normal"].tolist())
        if len(skips) <= most:
            return genotype
        weights["normal"][min(skips, key=skips.__getitem__), space.operations.index("skip_connect")] = 0


def _skips(space: Space, genotype: Genotype, weights: Sequence[Sequence[float]]) -> dict[int, float]:
    """Edge → weight of the skip connects in the normal cell; those that have been given up and are there all the same do not count."""
    skip = "skip_connect"
    kept = [(node, e.source) for node, edges in genotype.normal.numbered() for e in edges if e.operation == skip]
    strength = {edge: weights[edge][space.operations.index(skip)] for edge in map(space.edges.index, kept)}
    return {edge: w for edge, w in strength.items() if w > 0}
