"""Gradient variance: Eq. 14, Fig. 12."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from robnas.errors import require, unknown
from robnas.initialise import INITIALISATIONS
from robnas.probes.base import Measurement, Probe, require_weights
from robnas.probes.beginning import begun, settled
from robnas.probes.gradients import AT_ONCE, METHODS, hooks, per_input
from robnas.probes.jackknife import Groups
from robnas.results import Number
from robnas.statistics import student

MOMENTS = ("running", "inputs", "batch")


class GradientVariance(Probe):
    """Var(g) = E‖g − E g‖² over single inputs (Eq. 14), in all, and divided by the number of parameters.

    Gradients grow and shrink with the scale of weights, which says nothing of how well they can be estimated. So `mean_gradient_squared`
    stands beside them, ‖E g‖² without bias: their ratio is the number of inputs at which noise equals signal (McCandlish et al., 2018).
    Its interval, and that of `sum_of_deviations`, leaves out a tenth of the inputs at a time (`jackknife`).

    The paper does not say what batch norms do before training. The authors' code has them in evaluation mode, where at the first step
    they normalise nothing; `batch_norm: inputs` gives them the moments of the inputs first. Those count as constants, while a training
    differentiates through them: `batch_norm: batch` with a `batch` does so, too, and is the g of Eq. 14 as SGD has it, a mini-batch's.

    Args:
        n_samples: inputs.
        split: "train" (without augmentation), "validation" or "test".
        initialisation: null: the weights as they are; "own" or "kaiming": those before training, whenever this is asked.
        batch_norm: "running" statistics, those of the "inputs", or those of each mini-batch ("batch", which needs `batch` ≥ 2).
        batch: inputs of a gradient. Var(g) of a mini-batch is 1/`batch` of that of single inputs where those do not depend on each other.
        clip: norm to which an input's gradient is cut first, as in the authors' code; null: none.
        deviations: also `sum_of_deviations`, Σ over parameters of the standard deviation, which is what the authors' code computes.
        method: "auto": "hooks" on the layers of one pass over a chunk, or "vmap" where a layer is not known to them (same numbers, slower);
            "loop" for networks that neither can go through.
        chunk: inputs whose gradients are held at once; nothing depends on it.
        hooks: when, in `fit`.
    """

    def __init__(
        self,
        n_samples: int = 512,
        split: str = "train",
        initialisation: str | None = None,
        batch_norm: str = "running",
        batch: int = 1,
        clip: float | None = None,
        deviations: bool = False,
        method: str = "auto",
        chunk: int = 64,
        hooks: tuple[str, ...] = ("fit_start", "fit_end"),
    ) -> None:
        self.n_samples, self.split, self.hooks = n_samples, split, hooks
        self.initialisation, self.batch_norm, self.clip, self.deviations = initialisation, batch_norm, clip, deviations
        self.batch, self.method, self.chunk = batch, method, chunk

    def check(self) -> None:
        """Raises UserError."""
        super().check()
        require(self.batch >= 1, f"batch: {self.batch} is not ≥ 1")
        least = 3 * self.batch
        require(self.n_samples >= least, f"n_samples: {self.n_samples} is not ≥ {least}: two gradients have a variance, but no interval")
        require(self.batch_norm != "batch" or self.batch >= 2, f"batch: {self.batch} is not ≥ 2, which batch_norm: batch needs")
        require(self.chunk >= 1, f"chunk: {self.chunk} is not ≥ 1")
        require(self.clip is None or self.clip > 0, f"clip: {self.clip} is not positive")
        for name, value, allowed in (("method", self.method, METHODS), ("batch_norm", self.batch_norm, MOMENTS)):
            if value not in allowed:
                raise unknown(name, value, allowed)
        if self.initialisation is not None and self.initialisation not in INITIALISATIONS:
            raise unknown("initialisation", self.initialisation, INITIALISATIONS)

    def measure(self, model: nn.Module, x: Tensor, y: Tensor) -> Measurement:
        """x: [N, C, H, W] in [0, 1], y: [N]."""
        require_weights(self.name, model)
        require(len(x) >= 3 * self.batch, f"{self.name}: {len(x)} inputs of the {self.split} split are not ≥ {3 * self.batch}")
        if self.initialisation is not None:
            model = begun(model, self.initialisation)
        if self.batch_norm == "inputs":
            settled(model, x)
        if self.batch_norm == "batch":
            for m in model.modules():
                m.train(isinstance(m, nn.modules.batchnorm._BatchNorm))
        found = gradient_variance(model, x, y, self.chunk, self.method, self.clip, self.deviations, self.batch)
        (low, high), n = found.interval, found.n * self.batch
        each = Number(found.variance / found.parameters, n, (low / found.parameters, high / found.parameters), "student")
        more = {"sum_of_deviations": Number(found.deviations, n, found.of_deviations, "jackknife")} if found.deviations is not None else {}
        return Measurement(
            gradient_variance=Number(found.variance, n, found.interval, "student"),
            gradient_variance_per_parameter=each,
            mean_gradient_squared=Number(found.mean_squared, n, found.of_mean, "jackknife"),
            **more,
        )


class Spread(NamedTuple):
    """Of N gradients.

    Args:
        variance: Var(g), unbiased: the sum of squares is divided by N − 1.
        interval: with confidence 95%, over inputs.
        mean_squared: ‖E g‖², unbiased, so that it may come out below 0.
        deviations: Σ over parameters of the standard deviation, if asked for.
        parameters, n: how many.
        of_mean, of_deviations: intervals of `mean_squared` and `deviations` over inputs, by leaving groups of them out; None of two inputs.
    """

    variance: float
    interval: tuple[float, float]
    mean_squared: float
    deviations: float | None
    parameters: int
    n: int
    of_mean: tuple[float, float] | None = None
    of_deviations: tuple[float, float] | None = None


def gradient_variance(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    chunk: int = 64,
    method: str = "auto",
    clip: float | None = None,
    deviations: bool = False,
    batch: int = 1,
) -> Spread:
    """x: [N, C, H, W], y: [N], N ≥ 2. Holds `chunk` gradients, of a layer or of all, and the sums of at most ten groups, never N.

    w_i = √((i − 1)/i) (g_i − mean of g_1 … g_{i−1}) are the recursive residuals (Brown, Durbin and Evans, 1975): E‖w_i‖² = Var(g) each,
    they are uncorrelated, and Σ‖w_i‖² is the sum of squares about the mean of all, as Welford (1962) updates it. So one pass gives the
    variance as the mean of N − 1 numbers, and Student's interval of that mean.
    """
    seen = _Sums(model, x, len(x) // batch, deviations)
    hooked = hooks(model, x, y, method) if batch == 1 else None
    if hooked is None or clip is not None:  # which needs all of a gradient
        for g in per_input(model, x, y, chunk, method, batch) if hooked is None else hooked.wholes(x, y, chunk, AT_ONCE):
            seen.whole(g, clip)
        return seen.spread()
    for xs, ys in zip(torch.split(x, chunk), torch.split(y, chunk), strict=True):
        for nothing in hooked.each(xs, ys, seen.part):
            seen.part(nothing.start, x.new_zeros(len(xs), nothing.stop - nothing.start))
        seen.next(len(xs))
    return seen.spread()


class _Sums:
    """What is kept of gradients that come some parameters at a time.

    Parts are small enough for a cache, and in them ROWS inputs at a time: their inner products cost as many operations per number.
    """

    ROWS, NUMBERS = 16, 2**19

    def __init__(self, model: nn.Module, x: Tensor, n: int, deviations: bool) -> None:
        exact = torch.float32 if x.dtype.itemsize < 4 else x.dtype
        self.mean = torch.zeros(sum(p.numel() for p in model.parameters()), dtype=exact, device=x.device)
        self.each = torch.zeros_like(self.mean) if deviations else None
        self.groups = Groups(self.mean, n, deviations, AT_ONCE)
        self.products: dict[int, Tensor] = {}
        self.terms: list[Tensor] = []
        self.seen = 0

    def whole(self, g: Tensor, clip: float | None) -> None:
        """g: [k, P]; is changed."""
        if clip is not None:
            g = g.to(self.mean)
            g *= (clip / g.norm(dim=1, keepdim=True)).clamp_max(1)
        width = max(1, self.NUMBERS // len(g))
        for start in range(0, g.shape[1], width):
            self.part(start, g[:, start : start + width])
        self.next(len(g))

    def part(self, start: int, g: Tensor) -> None:
        """g: [k, p] of the parameters from `start` on; is changed."""
        g, here = g.to(self.mean), slice(start, start + g.shape[1])
        self.groups.add(g, self.seen, start)
        for first in range(0, len(g), self.ROWS):
            d = g[first : first + self.ROWS].sub_(self.mean[here])
            found, n = (d @ d.T).double(), self.seen + first + len(d)
            self.products[first] = self.products[first] + found if first in self.products else found
            moved = d.sum(0)
            self.mean[here].add_(moved, alpha=1 / n)
            if self.each is not None:
                self.each[here] += d.square_().sum(0) - moved.square_() / n

    def next(self, k: int) -> None:
        """All parts of k gradients were seen."""
        self.terms += [recursive_residuals(p, self.seen + first) for first, p in sorted(self.products.items())]
        self.products.clear()
        self.seen += k

    def spread(self) -> Spread:
        """Of all."""
        terms, n = torch.cat(self.terms)[1:].cpu().numpy(), self.seen
        variance, (low, high) = float(terms.mean()), student(terms)
        total = None if self.each is None else float((self.each.clamp_min(0) / (n - 1)).sqrt().sum())
        squared = float(self.mean.double().square().sum()) - variance / n
        intervals = self.groups.of_mean_squared(squared), None if total is None else self.groups.of_deviations(total)
        return Spread(variance, (max(0.0, low), high), squared, total, len(self.mean), n, *intervals)


def recursive_residuals(products: Tensor, seen: int) -> Tensor:
    """‖w_i‖² of k further inputs, [k], from inner products alone: passes over [k, P] cost more than a matrix product.

    Args:
        products: [k, k], d_i · d_j of what the k gradients differ by from the mean of those before them all.
        seen: how many those were.
    """
    k = products.double()
    before = seen + torch.arange(len(k), dtype=k.dtype, device=k.device)
    own, others = k.diagonal(), k.tril(-1).sum(1)  # d_i · d_i and d_i · Σ_{j<i} d_j
    among = nn.functional.pad(k.cumsum(0).cumsum(1).diagonal()[:-1], (1, 0))  # ‖Σ_{j<i} d_j‖²
    n = before.clamp_min(1)
    return before / (before + 1) * (own - 2 * others / n + among / n**2)
