"""Loss contours in the space of inputs: Eq. 13, Fig. 11 (b)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from robnas.errors import require
from robnas.probes import surface
from robnas.probes.base import Measurement, Probe
from robnas.probes.directions import of_inputs
from robnas.probes.scan import nats, prepared
from robnas.probes.surface import Array
from robnas.probes.surface_picture import picture, small_multiples
from robnas.results import Number
from robnas.statistics import bootstrap


class InputContours(Probe):
    """Γ_(x,y)(α, β) = ℓ(f(x + α d₁ + β d₂), y): how the loss of each input rises around it, along two random, orthogonal directions.

    Directions are of length √(C·H·W), so that a step is the RMS change of a pixel; pixels may leave [0, 1], as in Eq. 13 nothing holds
    them. Numbers (see `surface.numbers`) are read off each input's own contour and are then means over inputs.

    Args:
        radius: the grid reaches from −radius to radius, in pixels of [0, 1]; the authors' code goes to 0.02.
        points: a side of the grid, odd.
        n_samples: inputs.
        level: nats above the middle that still count as flat.
        seed: of the directions; equal for all models, by the input's place.
        split: of the data: the paper samples its inputs at random and does not say from which.
        n_drawn: inputs drawn by themselves.
        hooks: when, in `fit`.
        batch_size: images at a time; changes no number.
    """

    scales: ClassVar[dict[str, dict[str, Any]]] = {"tiny": {"points": 11}}

    def __init__(
        self,
        radius: float = 0.1,
        points: int = 21,
        n_samples: int = 64,
        level: float = 0.1,
        seed: int = 0,
        split: str = "test",
        n_drawn: int = 8,
        hooks: tuple[str, ...] = ("fit_end",),
        batch_size: int = 256,
    ) -> None:
        self.radius, self.points, self.n_samples, self.level, self.seed = radius, points, n_samples, level, seed
        self.split, self.n_drawn, self.hooks, self.batch_size = split, n_drawn, hooks, batch_size

    def check(self) -> None:
        """Raise UserError for an argument out of range."""
        super().check()
        surface.steps(self.radius, self.points)
        require(self.level > 0, f"level: {self.level} is not positive")
        require(self.n_drawn >= 0, f"n_drawn: {self.n_drawn} is negative")
        require(self.batch_size >= 1, f"batch_size: {self.batch_size} is not ≥ 1")

    def measure(self, model: nn.Module, x: Tensor, y: Tensor) -> Measurement:
        """See Probe."""
        grid = surface.steps(self.radius, self.points)
        gammas = scan_inputs(model, x, y, grid, ("input_contours", self.seed), self.batch_size)
        found = surface.numbers(gammas, grid, self.level)
        middle = self.points // 2
        named: dict[str, Any] = {name: _mean(values) for name, values in (found | {"centre": gammas[:, middle, middle]}).items()}
        unit = "RMS of pixels"
        rise, flat = (found[name].mean() for name in ("rise", "flat"))
        title = f"mean of {len(x)} inputs: rise {rise:.3g} nats, {flat:.0%} below +{self.level:g} (white: of the mean)"
        pictures: dict[str, Any] = {"contour": picture(gammas.mean(0), grid, self.level, title, unit)}
        if self.n_drawn:
            of = [f"class {int(label)}, rise {rise:.2g}" for label, rise in zip(y[: self.n_drawn], found["rise"], strict=False)]
            pictures["inputs"] = small_multiples(gammas[: self.n_drawn], grid, self.level, of, "loss around single inputs", unit)
        return Measurement(**named, gamma=gammas.astype(np.float32), grid=grid, **pictures)


@torch.no_grad()
def scan_inputs(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    grid: Sequence[float] | Array,
    keys: tuple[int | str, ...] = ("input_contours", 0),
    batch_size: int = 256,
) -> Array:
    """x: [N, C, H, W], y: [N] → Γ [N, R, R], rows α and columns β. At most `batch_size` images are held at once beside x."""
    network, _ = prepared(model, x[: min(16, batch_size)], {})
    n, r = len(x), len(grid)
    steps = torch.as_tensor(np.asarray(grid))
    out = np.empty(n * r * r)
    for places in torch.split(torch.arange(n * r * r), batch_size):
        which, point = places // (r * r), places % (r * r)
        inputs, back = torch.unique(which, return_inverse=True)
        one, two = of_inputs(inputs, x[inputs.to(x.device)], *keys)
        a, b = (steps[i].to(x).view(-1, *[1] * (x.ndim - 1)) for i in (point // r, point % r))
        back = back.to(x.device)
        images = x[which.to(x.device)] + a * one[back] + b * two[back]
        logits = network(images.contiguous(memory_format=torch.channels_last) if x.ndim == 4 else images)
        out[places.numpy()] = nats(logits, y[which.to(y.device)]).cpu()
    return out.reshape(n, r, r)


def _mean(values: Array) -> Number:
    """values: [N], one an input."""
    if not np.isfinite(values).all():
        return Number(None, len(values), flags=("the loss overflows",))
    ci = bootstrap(values) if len(values) > 1 else None
    return Number(float(values.mean()), len(values), ci, "bootstrap" if ci else None)
