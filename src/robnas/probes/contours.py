"""Loss contours in the space of weights: Eq. 12, Fig. 11 (a)."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from torch import Tensor, nn

from robnas.errors import require, unknown
from robnas.probes import surface
from robnas.probes.base import Measurement, Probe
from robnas.probes.directions import of_weights
from robnas.probes.scan import scan
from robnas.probes.surface import Array
from robnas.probes.surface_picture import picture
from robnas.results import Number


class Contours(Probe):
    """Γ(α, β) = L(θ* + α d₁ + β d₂): how much the loss rises as all weights move along two random, orthogonal directions.

    Directions are filter-normalised (Li et al., 2018), so that a step of 1 is a change as large as the weights themselves, whatever their
    scale; the paper does not say how long its directions are. BatchNorm keeps its running statistics. Numbers: see `surface.numbers`.

    Args:
        radius: the grid reaches from −radius to radius, in lengths of a filter. Li et al. draw ±1; at that distance the losses of the
            networks here are in thousands of nats, and a mean over the grid is one of its corners. So 0.25 was chosen after looking at
            results, and what depends on it wants another radius tried.
        points: a side of the grid, odd.
        n_samples: inputs over which the loss is the mean.
        level: nats above the middle that still count as flat.
        layers: "all", or "first" for the first convolution alone (the authors' code).
        directions: "filter", or "halves" for ±1 (the authors' code).
        seed: of the directions; equal for all models, by name of the weight.
        resamples: bootstraps of the inputs that intervals are made of.
        split: of the data; the paper's L is the training loss.
        hooks: when, in `fit`.
        batch_size: inputs at a time; changes no number.
    """

    scales: ClassVar[dict[str, dict[str, Any]]] = {"tiny": {"points": 11}}

    def __init__(
        self,
        radius: float = 0.25,
        points: int = 21,
        n_samples: int = 512,
        level: float = 1.0,
        layers: str = "all",
        directions: str = "filter",
        seed: int = 0,
        resamples: int = 200,
        split: str = "train",
        hooks: tuple[str, ...] = ("fit_end",),
        batch_size: int = 128,
    ) -> None:
        self.radius, self.points, self.n_samples, self.level = radius, points, n_samples, level
        self.layers, self.directions, self.seed, self.resamples = layers, directions, seed, resamples
        self.split, self.hooks, self.batch_size = split, hooks, batch_size

    def check(self) -> None:
        """Raise UserError for an argument out of range."""
        super().check()
        surface.steps(self.radius, self.points)
        require(self.level > 0, f"level: {self.level} is not positive")
        require(self.resamples >= 0, f"resamples: {self.resamples} is negative")
        require(self.batch_size >= 1, f"batch_size: {self.batch_size} is not ≥ 1")
        if self.layers not in ("all", "first"):
            raise unknown("layers", self.layers, ("all", "first"))
        if self.directions not in ("filter", "halves"):
            raise unknown("directions", self.directions, ("filter", "halves"))

    def measure(self, model: nn.Module, x: Tensor, y: Tensor) -> Measurement:
        """See Probe."""
        grid = surface.steps(self.radius, self.points)
        along = of_weights(dict(model.named_parameters()), "contours", self.seed, layers=self.layers, kind=self.directions)
        resamples = self.resamples if len(x) > 1 else 0
        gamma, drawn = scan(model, x, y, grid, along, batch_size=self.batch_size, resamples=resamples)
        found, others = (surface.numbers(z, grid, self.level) for z in (gamma, drawn))
        named: dict[str, Any] = {name: _number(float(value), others[name], len(x)) for name, value in found.items()}
        middle = self.points // 2
        named["centre"] = _number(float(gamma[middle, middle]), drawn[:, middle, middle], len(x))
        rise, flat, bend = (float(found[name]) for name in ("rise", "flat", "curvature"))
        title = f"rise {rise:.3g} nats, {flat:.0%} below +{self.level:g} (white), curvature {bend:.3g}, n = {len(x)}"
        unit = "filter norms" if self.directions == "filter" else "weights"
        return Measurement(**named, gamma=gamma, grid=grid, contour=picture(gamma, grid, self.level, title, unit))


def _number(value: float, drawn: Array, n: int) -> Number:
    """With the percentile interval of the bootstraps [resamples] that are finite; without one where there are none."""
    if not np.isfinite(value):
        return Number(None, n, flags=("the loss overflows",))
    kept = drawn[np.isfinite(drawn)]
    if not len(kept):
        return Number(value, n)
    low, high = np.quantile(kept, [0.025, 0.975])
    return Number(value, n, (float(low), float(high)), "poisson bootstrap")
