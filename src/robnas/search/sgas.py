"""SGAS (Li et al., 2020): the architecture is decided edge by edge while the search goes on (§3.3)."""

from collections.abc import Mapping, Sequence
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
    """SGAS: DARTS that decides edge by edge, greedily, as it goes; relaxed (Li et al., 2020).

    DARTS with greedy decisions: after a warm-up, every few epochs, the best edge of each kind of cell keeps one operation for good.

    Where a node has its `sources` edges, its others are pruned. What is decided is computed as the final cell will, with weight 1; what
    the epochs leave undecided is derived as in DARTS. Scores and choices go by the weights that `derive_from` names, and γ (§5.2)
    damps a skip connect for as long as its edge is undecided.

    The paper lets the batch grow by 8 with every decision, as memory becomes free: left out.

    Args:
        criterion: 1 or 2.
        warmup: epochs before the first decision; α learns in them.
        every: epochs from one decision to the next. In DARTS's cells, which keep eight edges, the last is decided after
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
        self.decided: dict[str, list[int]] = {kind: [] for kind in CELL_KINDS}
        """Edges, in the order of their decisions."""
        self.past: dict[str, list[Tensor]] = {kind: [] for kind in CELL_KINDS}
        """p [E, O] as it was at the start of the last `history` epochs, oldest first; of a decided or pruned edge, as it was then."""

    def build(self, space: Space, seed: int) -> None:
        """α as in DARTS. Raises UserError where there is nothing to decide."""
        super().build(space, seed)
        require(len(_choices(space)) >= 2, "operations: a greedy decision needs at least two of them beside zero")
        self.alive = {kind: torch.ones(len(space.edges), len(space.operations), dtype=torch.bool, device="cpu") for kind in CELL_KINDS}

    def require_time(self, epochs: int) -> None:
        """Raises UserError where the search ends before its first decision."""
        needed = f"trainer.max_epochs of at least {self.warmup + 1} is needed"
        way_out = f"{needed}, or a smaller --model.searcher.warmup" if epochs > 1 else needed
        require(self.warmup < epochs, f"warmup: {self.warmup} of {epochs} epochs leave none for a decision; {way_out}")

    def epoch_start(self, epoch: int, max_epochs: int) -> None:
        """A decision for each kind of cell, if it is time; then this epoch is history."""
        for kind, weights in self.weights().items():
            past, undecided = self.past[kind], self.alive[kind].sum(-1) > 1
            p = weights.cpu().double()
            p = p / p.sum(-1, keepdim=True)
            if past:
                p = torch.where(undecided[:, None], p, past[-1])
            if undecided.any() and epoch >= self.warmup and (epoch - self.warmup) % self.every == 0:
                scores = score(p, self.space, past if self.criterion == 2 else ())
                edge = int(scores.masked_fill(~undecided, -torch.inf).argmax())
                self._decide(kind, edge, max(_choices(self.space), key=p[edge].tolist().__getitem__))
            self.past[kind] = [*past, p][-self.history :]

    def _decide(self, kind: str, edge: int, operation: int) -> None:
        alive, edges = self.alive[kind], self.space.edges
        alive[edge] = torch.arange(alive.shape[1]) == operation
        self.decided[kind].append(edge)
        same_node = torch.tensor([node == edges[edge][0] for node, _ in edges])
        if sum(bool(same_node[e]) for e in self.decided[kind]) == self.space.sources:
            alive[same_node & (alive.sum(-1) > 1)] = False

    def mixture(self) -> Mixture:
        """As in DARTS, but for what is decided."""
        mixture = super().mixture()
        return replace(mixture, weights=self._as_decided(mixture.weights))

    def weights(self) -> dict[str, Tensor]:
        """As in DARTS, but for what is decided."""
        return self._as_decided(super().weights())

    def _as_decided(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """An edge with one operation left has it with weight 1, whatever γ."""
        decided = {kind: alive & (alive.sum(-1, keepdim=True) == 1) for kind, alive in self.alive.items()}
        return {kind: w.masked_fill(decided[kind].to(w.device), 1) for kind, w in weights.items()}

    def figures(self) -> dict[str, float]:
        """How many edges are decided, and how many operations are left."""
        return super().figures() | {f"{kind}/decided": float(len(edges)) for kind, edges in self.decided.items()}

    def state(self) -> dict[str, Any]:
        """What is decided and alive, and the history."""
        return super().state() | {"decided": {kind: list(edges) for kind, edges in self.decided.items()}, "past": dict(self.past)}

    def rebuild(self, state: dict[str, Any]) -> None:
        """The reverse of `state`."""
        super().rebuild(state)
        self.decided = {kind: list(edges) for kind, edges in state["decided"].items()}
        self.past = {kind: [p.cpu() for p in past] for kind, past in state["past"].items()}


def score(p: Tensor, space: Space, past: Sequence[Tensor] = ()) -> Tensor:
    """How good it is to decide an edge now: criterion 1, or criterion 2 where there is a past → [E] in [0, 1].

    Each term is scaled over all edges of the cell, decided ones among them, as in the authors' code; the paper does not say.

    Args:
        p: [E, O], what each operation has of its edge.
        space: says which operation is zero.
        past: p of earlier epochs.
    """
    share, before = _but_zero(p, space), [_but_zero(q, space) for q in past]
    importance = p[:, _choices(space)].sum(-1)  # S_EI
    certainty = 1 - torch.special.entr(share).sum(-1) / log(share.shape[1])  # S_SC
    result = _normalized(importance) * _normalized(certainty)
    if before:
        stability = torch.stack([torch.minimum(q, share).sum(-1) for q in before]).mean(0)  # S_SS, histogram intersection
        result = result * _normalized(stability)
    return result


def _but_zero(p: Tensor, space: Space) -> Tensor:
    """[E, O] → [E, O − 1], rows sum to 1: how an edge's operation is distributed, given that it is not zero."""
    chosen = p[:, _choices(space)]
    return chosen / chosen.sum(-1, keepdim=True)


def _normalized(x: Tensor) -> Tensor:
    """Min-max scaling to [0, 1]. Where all are equal but for rounding, all are 1: a term that says nothing lets the others speak."""
    span = x.max() - x.min()
    return (x - x.min()) / span if span > 1e-9 else torch.ones_like(x)


def _choices(space: Space) -> list[int]:
    """Columns of the operations but zero."""
    return [i for i, operation in enumerate(space.operations) if operation != "zero"]
