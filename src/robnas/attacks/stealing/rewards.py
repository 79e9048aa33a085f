"""What an answer was worth to the thief (Orekondy et al., 2019, §4.1.2): certainty, diversity, loss, or all of them."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

REWARDS = ("certainty", "diversity", "loss", "all")
SMALLEST = 1e-8
"""Added to the variance, so that a reward that never varies is worth 0."""


class Running(NamedTuple):
    """Mean and variance (population) of what has come so far, n of them (Welford, 1962). Of [k] values each apart."""

    mean: Tensor
    variance: Tensor
    n: int = 0

    @classmethod
    def of(cls, k: int) -> Running:
        """Nothing has come."""
        return cls(torch.zeros(k, dtype=torch.float64), torch.zeros(k, dtype=torch.float64))

    def plus(self, value: Tensor) -> Running:
        """One more, [k]."""
        n = self.n + 1
        mean = self.mean + (value - self.mean) / n
        return Running(mean, self.variance + ((value - self.mean) * (value - mean) - self.variance) / n, n)

    def normalise(self, value: Tensor) -> Tensor:
        """[k] → how many standard deviations above the mean."""
        normalised: Tensor = (value - self.mean) / (self.variance + SMALLEST).sqrt()
        return normalised


def certainty(p: Tensor) -> Tensor:
    """p: [m], the victim's answer → [] top-1 less top-2: what the victim is sure of tells more of it."""
    first, second = torch.topk(p, 2).values
    return torch.sub(first, second)


def diversity(p: Tensor, mean: Tensor) -> Tensor:
    """p: [m], mean: [m] of all answers, this one among them → [] Σ max(0, p − mean): classes that were rarely answered so far."""
    return (p - mean).clamp_min(0).sum()


def loss(p: Tensor, logits: Tensor) -> Tensor:
    """p: [m]; logits: [m] of the online replica before it has seen this answer → [] cross entropy: what the replica does not know yet."""
    return -(p * logits.log_softmax(0)).sum()


class Rewards:
    """One number for each answer, in the order in which they come.

    "all" is the mean of the three, each less its running mean and over its running standard deviation, this answer counted: the first is
    worth 0. (The Adversarial Robustness Toolbox clips the first to [0, 1], and its variance is not quite the running one. Orekondy et al.
    add up the three, each rescaled to [0, 1], less its mean over the last 25 queries; and diversity is to the mean of these 25 answers.)

    Args:
        kind: one of `REWARDS`.
        classes: m.
    """

    def __init__(self, kind: str, classes: int) -> None:
        self.kind, self.answers, self.each = kind, Running.of(classes), Running.of(3)

    def __call__(self, p: Tensor, logits: Tensor | None = None) -> float:
        """p: [m] float64, sums to 1; logits: [m] of the online replica, needed for "loss" and "all": NaN where it gives no numbers."""
        self.answers = self.answers.plus(p)
        if self.kind == "certainty":
            return float(certainty(p))
        if self.kind == "diversity":
            return float(diversity(p, self.answers.mean))
        assert logits is not None, "the online replica's logits"
        lost = loss(p, logits)
        if not bool(lost.isfinite()):  # once in a running mean, it would be in all that come after
            return math.nan
        if self.kind == "loss":
            return float(lost)
        three = torch.stack([certainty(p), diversity(p, self.answers.mean), lost])
        self.each = self.each.plus(three)
        return float(self.each.normalise(three).mean())
