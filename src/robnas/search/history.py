"""The scores of a search in the order in which they were told, in bounded memory."""

from typing import Any, NamedTuple, Self

import torch

BOUND = 2048
"""Bins that are kept, which is also about how many points a picture can show."""


class Bin(NamedTuple):
    """`n` scores that were told one after another: their sum, the lowest and the highest."""

    n: int
    total: float
    worst: float
    best: float

    def __or__(self, other: "Bin") -> "Bin":
        return Bin(self.n + other.n, self.total + other.total, min(self.worst, other.worst), max(self.best, other.best))


class History:
    """Every score is a bin of its own until there are `bound`; then two become one, and so on: no score is left out of its bin's sum,
    lowest and highest, so that a long search is drawn without a choice among its scores.

    Args:
        bound: bins at most; even.
    """

    def __init__(self, bound: int = BOUND) -> None:
        self.bound = bound
        self.width = 1
        """Scores in every bin but the last one."""
        self.bins: list[Bin] = []
        self.epochs: dict[int, tuple[int, float]] = {}
        """epoch → how many were told in it, and their sum."""

    def __len__(self) -> int:
        return sum(n for n, _ in self.epochs.values())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, History) and vars(self) == vars(other)

    __hash__ = None  # type: ignore[assignment]

    def add(self, epoch: int, score: float) -> None:
        """The next score."""
        n, total = self.epochs.get(epoch, (0, 0.0))
        self.epochs[epoch] = n + 1, total + score
        new = Bin(1, score, score, score)
        if self.bins and self.bins[-1].n < self.width:
            self.bins[-1] |= new
            return
        if len(self.bins) == self.bound:
            self.width *= 2
            self.bins = [a | b for a, b in zip(self.bins[::2], self.bins[1::2], strict=True)]
        self.bins.append(new)

    def mean(self, epoch: int) -> float | None:
        """Of the scores of an epoch; None where there are none."""
        n, total = self.epochs.get(epoch, (0, 0.0))
        return total / n if n else None

    @property
    def means(self) -> list[float]:
        """Of every bin: the scores themselves as long as `width` is 1."""
        return [b.total / b.n for b in self.bins]

    def state(self) -> dict[str, Any]:
        """Tensors and plain values, as a checkpoint holds them."""
        bins = torch.tensor(self.bins, dtype=torch.float64, device="cpu").view(-1, 4)
        return {"bound": self.bound, "width": self.width, "bins": bins, "epochs": dict(self.epochs)}

    @classmethod
    def of(cls, state: dict[str, Any]) -> Self:
        """The reverse of `state`."""
        history = cls(state["bound"])
        history.width, history.epochs = state["width"], dict(state["epochs"])
        history.bins = [Bin(int(n), *numbers) for n, *numbers in state["bins"].tolist()]
        return history
