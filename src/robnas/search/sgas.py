"""SGAS (Li et al., 2020): the architecture is decided edge by edge while the search goes on (§3.3)."""

from collections.abc import Mapping
from dataclasses import replace
from math import log
from typing import Any, ClassVar

import torch
from torch import Tensor

from robnas.errors import require
from robnas.search.base import Relaxed
from robnas.space.mixture import Mixture
from robnas.space.search_space import CELL_KINDS, Space

CRITERIA = (1, 2)
"""1: edge importance × selection certainty; 2: × selection stability."""


class SGAS(Relaxed):
    """DARTS with greedy decisions: after a warm-up, every few epochs, the best edge of each kind of cell keeps one operation for good.

    Where a node has its `sources` edges, its others are pruned. What is decided is computed as the final cell will, with weight 1; what
    the epochs leave undecided is derived as in DARTS. Scores and choices go by the weights that `derive_from` names, and γ (§5.2)
    damps a skip connect for as long as its edge is undecided.

    The paper lets the batch grow by 8 with every decision, as memory becomes free: left out. Its authors' code takes the smallest and
    largest score over all edges, of decided ones by the α they were left with; we take them over those that can still be chosen.

    Args:
        criterion: 1 or 2.
        warmup: epochs before the first decision; α learns in them.
        every: epochs from one decision to the next. With DARTS's cells, of eight edges, the last one is made after
            warmup + 7 · every = 45 epochs.
        history: epochs back with which criterion 2 compares an edge.
        arguments: of `Relaxed`.
    """

    # Eight decisions, before epochs 2 to 9: all of them.
    scales: ClassVar[dict[str, dict[str, Any]]] = {"tiny": {"warmup": 2, "every": 1, "trainer": {"max_epochs": 10}}}

    def __init__(self, criterion: int = 1, warmup: int = 10, every: int = 5, history: int = 4, **arguments: Any) -> None:
        super().__init__(**arguments)
        require(criterion in CRITERIA, f"criterion: {criterion} is not 1 or 2")
        for name, value in {"warmup": warmup, "every": every, "history": history}.items():
            require(value >= 1, f"{name}: {value} is below 1")
        self.criterion, self.warmup, self.every, self.history = criterion, warmup, every, history
        self.decided: dict[str, list[int]] = {}
        """Per kind of cell: edges in the order of their decisions."""
        self.past: dict[str, list[Tensor]] = {}
        """Per kind of cell: shares of the operations [E, O − 1] at the start of the last `history` epochs, oldest first."""

    def build(self, space: Space, seed: int) -> None:
        """α as in DARTS. Raises UserError where an edge has nothing to decide."""
        super().build(space, seed)
        require(len(_choices(space)) >= 2, "operations: a greedy decision needs at least two operations beside zero")
        self.alive = {kind: torch.ones(len(space.edges), len(space.operations), dtype=torch.bool, device="cpu") for kind in CELL_KINDS}
        self.decided, self.past = {kind: [] for kind in CELL_KINDS}, {kind: [] for kind in CELL_KINDS}

    def epoch_start(self, epoch: int, max_epochs: int) -> None:
        """A decision for each kind of cell, if it is time; then this epoch becomes history."""
        for kind, weights in self.weights().items():
            importance, share = split(weights.cpu().double(), self.space)
            open_edges = [e for e in self.alive[kind].sum(-1).gt(0).nonzero()[:, 0].tolist() if e not in self.decided[kind]]
            if open_edges and epoch >= self.warmup and (epoch - self.warmup) % self.every == 0:
                past = [p[open_edges] for p in self.past[kind]] if self.criterion == 2 else []
                best = open_edges[int(score(importance[open_edges], share[open_edges], past).argmax())]
                self._decide(kind, best, _choices(self.space)[int(share[best].argmax())])
            self.past[kind] = [*self.past[kind], share][-self.history :]

    def _decide(self, kind: str, edge: int, operation: int) -> None:
        self.decided[kind].append(edge)
        self.alive[kind][edge] = torch.arange(len(self.space.operations)) == operation
        node = self.space.edges[edge][0]
        siblings = [e for e, (n, _) in enumerate(self.space.edges) if n == node]
        if sum(e in self.decided[kind] for e in siblings) >= self.space.sources:
            self.alive[kind][[e for e in siblings if e not in self.decided[kind]]] = False

    def relax(self, alpha: Tensor) -> Tensor:
        """Softmax, as in DARTS. alpha: [E, O] → weights [E, O], rows sum to 1."""
        return alpha.softmax(-1)

    def mixture(self) -> Mixture:
        """As in DARTS, with decided edges as they will be."""
        mixture = super().mixture()
        return replace(mixture, weights=self._as_decided(mixture.weights))

    def weights(self) -> dict[str, Tensor]:
        """As in DARTS, with decided edges as they will be."""
        return self._as_decided(super().weights())

    def _as_decided(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        decided = {
            kind: torch.zeros_like(self.alive[kind]).index_fill(0, torch.tensor(edges, dtype=torch.long), True)
            for kind, edges in self.decided.items()
        }
        return {kind: torch.where(decided[kind].to(w.device), self.alive[kind].to(w), w) for kind, w in weights.items()}

    def figures(self) -> dict[str, float]:
        """How many edges are decided."""
        return {f"{kind}/decided": float(len(edges)) for kind, edges in self.decided.items()}

    def state(self) -> dict[str, Any]:
        """What is decided, and the history."""
        return super().state() | {"decided": self.decided, "past": self.past}

    def rebuild(self, state: dict[str, Any]) -> None:
        """The reverse of `state`."""
        super().rebuild(state)
        self.decided, self.past = state["decided"], {kind: [p.cpu() for p in past] for kind, past in state["past"].items()}


def score(importance: Tensor, share: Tensor, past: list[Tensor]) -> Tensor:
    """How well an edge can be decided now: criterion 1, or 2 where there is a past.

    Args:
        importance: S_EI, [E], weight of everything but zero.
        share: p, [E, O − 1], distribution over everything but zero.
        past: share of earlier epochs.
    """
    certainty = 1 - torch.special.entr(share).sum(-1) / log(share.shape[-1])  # S_SC
    result = normalized(importance) * normalized(certainty)
    if past:
        stability = torch.stack([torch.minimum(p, share).sum(-1) for p in past]).mean(0)  # S_SS, histogram intersection
        result = result * normalized(stability)
    return result


def split(weights: Tensor, space: Space) -> tuple[Tensor, Tensor]:
    """weights: [E, O] → importance of each edge [E] and the shares of its operations but zero [E, O − 1]; of a pruned edge zeros."""
    tiny = torch.finfo(weights.dtype).tiny
    chosen = (weights / weights.sum(-1, keepdim=True).clamp_min(tiny))[:, _choices(space)]
    importance = chosen.sum(-1)
    return importance, chosen / importance[:, None].clamp_min(tiny)


def normalized(x: Tensor) -> Tensor:
    """Min-max scaling to [0, 1]; where all are equal they are all 1: a term that says nothing leaves the others their say. x: [E]."""
    low, high = x.min(), x.max()
    return (x - low) / (high - low) if high > low else torch.ones_like(x)


def _choices(space: Space) -> list[int]:
    """Columns of the operations but zero."""
    return [i for i, o in enumerate(space.operations) if o != "zero"]
