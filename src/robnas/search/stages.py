"""A search in stages of equal length: which stage an epoch is of, and which operations outlive its end (P-DARTS, DrNAS)."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from robnas.errors import require
from robnas.search.base import Relaxed, Stage
from robnas.space.search_space import Space

__all__ = ["Span", "prune", "require_all", "require_dropping", "require_each", "require_fewer", "span", "strongest"]


class Span(NamedTuple):
    """number: of the stage, from 0; first: the epoch with which it begins; epochs: how many it has."""

    number: int
    first: int
    epochs: int


def span(epoch: int, max_epochs: int, stages: int) -> Span:
    """The stage in which `epoch` lies. Where `stages` does not divide `max_epochs`, lengths differ by one epoch at most.

    With fewer epochs than stages some are left out (`require_all` refuses that), and with a single epoch all but the first.
    """
    number = epoch * stages // max_epochs
    first, after = (-(-n * max_epochs // stages) for n in (number, number + 1))
    return Span(number, first, after - first)


def strongest(weights: Tensor, keep: int) -> Tensor:
    """The `keep` largest weights of every edge; of equal ones the earlier. weights: [E, O] → [E, O] bool on the CPU."""
    kept = weights.cpu().sort(dim=-1, descending=True, stable=True).indices[:, :keep]
    return torch.zeros(weights.shape, dtype=torch.bool, device="cpu").scatter_(1, kept, True)


def prune(searcher: Relaxed, stage: Stage | Span, epoch: int, keep: Sequence[int]) -> bool:
    """Where a stage begins with `epoch`, every edge keeps its strongest operations: `keep` has how many, for each stage but the first.

    → whether one begins, the first excepted.
    """
    begins = stage.number > 0 and epoch == stage.first
    if begins:
        searcher.alive = {kind: strongest(w, keep[stage.number - 1]) for kind, w in searcher.weights().items()}
    return begins


def require_all(epochs: int, stages: int) -> None:
    """Raises UserError unless each stage has an epoch."""
    require(epochs >= stages, f"trainer.max_epochs: {epochs} epochs leave out some of {stages} stages; allowed: at least {stages}")


def require_dropping(keep: Sequence[int], space: Space) -> None:
    """Raises UserError where the first border drops nothing."""
    n, kept = len(space.operations), keep[0] if keep else 0
    require(kept < n, f"keep: {kept} operations on an edge drop none of the space's {n}; allowed: fewer than {n}")


def require_each(name: str, values: Sequence[float], stages: int, least: float) -> None:
    """Raises UserError unless an argument has a number for each stage, none below `least`."""
    require(stages >= 1, f"{name}: there is no stage; allowed: at least one number")
    require(len(values) == stages, f"{name}: {list(values)} has {len(values)} numbers; allowed: one for each stage, {stages}")
    require(all(value >= least for value in values), f"{name}: {list(values)} has a number below {least}")


def require_fewer(keep: Sequence[int], stages: int, least: int) -> None:
    """Raises UserError unless `keep` says for each stage but the first how many operations are left, and never more than before."""
    count = f"{len(keep)} numbers; allowed: one for each stage but the first, {stages - 1}"
    require(len(keep) == stages - 1, f"keep: {list(keep)} has {count}")
    require(all(n >= least for n in keep), f"keep: {list(keep)} leaves fewer than {least} operations on an edge")
    require(list(keep) == sorted(keep, reverse=True), f"keep: {list(keep)} brings operations back that were dropped")
