"""Intervals of numbers that are no mean over inputs: each group of inputs is left out once (Quenouille, 1956; Tukey, 1958)."""

from __future__ import annotations

import torch
from torch import Tensor

from robnas import seeds
from robnas.statistics import student

GROUPS = 10
"""More give a narrower t, and cost the memory of a gradient each."""


class Groups:
    """Of N gradients in random groups of equal size (data sets have periods): what is needed to leave a group out, in one pass.

    Args:
        like: [P], of the gradients' type and device.
        n: gradients in all.
        squares: whether `of_deviations` is wanted, for twice the memory.
        at_once: numbers; sums take four times as many at most, but there are four groups in any case.
    """

    def __init__(self, like: Tensor, n: int, squares: bool, at_once: int) -> None:
        self.count = min(GROUPS, n, max(4, 4 * at_once // max(1, len(like))))
        self.group = torch.randperm(n, generator=seeds.generator("jackknife")) % self.count
        self.sums = like.new_zeros(self.count, len(like))
        self.squares = torch.zeros_like(self.sums) if squares else None
        self.lengths = torch.zeros(self.count, dtype=torch.float64)
        self.n = torch.bincount(self.group, minlength=self.count).double()

    def add(self, g: Tensor, seen: int, start: int = 0) -> None:
        """g: [k, p], parameters from `start` on; seen: how many gradients there were before."""
        group, here = self.group[seen : seen + len(g)], slice(start, start + g.shape[1])
        self.lengths.index_add_(0, group, g.norm(dim=1).double().square().cpu())
        if len(g) == 1:
            self.sums[group[0], here] += g[0]
        else:
            self.sums[:, here].addmm_(self._members(group, g), g)
        if self.squares is not None:
            self.squares[:, here].addmm_(self._members(group, g), g.square())

    def of_mean_squared(self, value: float) -> tuple[float, float] | None:
        """Of ‖E g‖² = (‖Σ g‖² − Σ ‖g‖²) / N (N − 1), which has no bias. value: of all."""
        products = sum((s.double() @ s.double().T for s in torch.split(self.sums, 2**15, dim=1)), start=torch.zeros(())).cpu()  # [G, G]
        rest, n = products.sum() - 2 * products.sum(1) + products.diagonal(), self.n.sum() - self.n
        return self._interval(value, (rest - (self.lengths.sum() - self.lengths)) / (n * (n - 1)))

    def of_deviations(self, value: float) -> tuple[float, float] | None:
        """Of Σ over parameters of the standard deviation. value: of all."""
        assert self.squares is not None
        sums, squares, found = self.sums.sum(0), self.squares.sum(0), []
        for own, of_own, n in zip(self.sums, self.squares, (self.n.sum() - self.n).tolist(), strict=True):
            found.append(((squares - of_own - (sums - own).square() / n).clamp_min(0) / (n - 1)).sqrt().sum().double())
        return self._interval(value, torch.stack(found).cpu())

    def _members(self, group: Tensor, g: Tensor) -> Tensor:
        """[G, k] of 0 and 1."""
        return torch.nn.functional.one_hot(group, self.count).T.to(g)

    def _interval(self, value: float, without: Tensor) -> tuple[float, float] | None:
        """Student's of the pseudo-values G · value − (G − 1) · value without the group, about `value`. None of fewer than three groups."""
        if self.count < 3:
            return None
        low, high = student((self.count * value - (self.count - 1) * without).numpy())
        half = (high - low) / 2
        return value - half, value + half
