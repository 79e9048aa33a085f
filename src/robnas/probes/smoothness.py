"""How smooth the loss is: local Lipschitz constants of its gradient in weights and inputs (§4.1), and Theorem 1 as a measured ratio."""

from __future__ import annotations

import math
import warnings
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from robnas.copies import evaluation_copy
from robnas.errors import require
from robnas.probes import hessian, secant
from robnas.probes.base import Measurement, Probe, require_weights
from robnas.probes.first_layer import FirstLayer
from robnas.results import Number
from robnas.statistics import bootstrap, wilson

GROUPS = 16
"""Of inputs, for the interval of L_θ."""


class Smoothness(Probe):
    """L of ‖∇L(θ) − ∇L(θ′)‖ ≤ L ‖θ − θ′‖ where θ is: the spectral norm of the Hessian there. A global L cannot be smaller.

    ReLU and max pooling have no second derivative at their kinks; between them this is exact, and blind to them: `secant` has numbers that
    are not. BatchNorm keeps its running statistics.

    Theorem 1 says L_x ≤ L_θ / √n with n pixels, each layer's weights normalised, for the loss of one input. Its proof takes the L1 norm
    of a row of unit L2 norm for 1/√n at most, where it lies between 1 and √n, and bounds the gradient rather than its Lipschitz constant.
    So the ratio is measured, on the model as it is (its layers are not normalised), beside a bound that holds: with the first layer
    z = A x + b, the Hessians obey ∇²_x ℓ = Aᵀ (∇²_z ℓ) A, so L_x ≤ ‖A‖₂² · L_b. For a convolution, b is here the whole of z's shift, not
    one number a channel.

    Numbers:
        lipschitz_parameters: L_θ of the mean loss; its interval over inputs is of first order (see `hessian.in_parameters`). …_relative:
            L_θ · ‖θ‖², of which no unit is left: it says how the loss bends along a change as large as the weights.
        lipschitz_input, lipschitz_input_largest: L_x, mean and largest over inputs; nats, pixels in [0, 1]. The largest of a sample has no
            interval: it says nothing of the largest of all.
        secant_parameters, secant_input: the same at a distance, kinks included (see `secant`), from below. That in parameters has no
            interval: where the iteration ends depends on all inputs at once.
        theorem_1: L_x √n / L_θ, both of single inputs, median; ≤ 1 if the theorem held as printed. theorem_1_broken: share of inputs
            above 1.
        first_layer_norm: ‖A‖₂. bound: L_x / (‖A‖₂² L_b), median; at most 1 but for iterations that were cut off, of which it says how
            many. Absent where the model has no such first layer.
        unconverged: share of all power iterations that `steps` cut off; these err downwards.

    Args:
        n_samples: inputs.
        steps: Hessian-vector products at most, each.
        tol: an iteration ends once a product raises the norm by less, relatively.
        theorem_inputs: of them, those for which Theorem 1 is tried: L_θ of each is a power iteration of its own.
        input_distance: of the secant, L2 in pixels of [0, 1]; 0.5 is customary for L2 attacks on 32 × 32 images.
        parameter_distance: of the secant, a share of ‖θ‖.
        secant_steps: gradients, each.
        split: of the data.
        hooks: when, in `fit`.
        batch_size: inputs at a time; changes no number.
    """

    scales: ClassVar[dict[str, dict[str, Any]]] = {"tiny": {"n_samples": 64, "steps": 20, "theorem_inputs": 8}}

    def __init__(
        self,
        n_samples: int = 256,
        steps: int = 50,
        tol: float = 3e-3,
        theorem_inputs: int = 32,
        input_distance: float = 0.5,
        parameter_distance: float = 0.01,
        secant_steps: int = 10,
        split: str = "train",
        hooks: tuple[str, ...] = ("fit_end",),
        batch_size: int = 64,
    ) -> None:
        self.n_samples, self.steps, self.tol, self.theorem_inputs = n_samples, steps, tol, theorem_inputs
        self.input_distance, self.parameter_distance, self.secant_steps = input_distance, parameter_distance, secant_steps
        self.split, self.hooks, self.batch_size = split, hooks, batch_size

    def check(self) -> None:
        """Raise UserError for an argument out of range."""
        super().check()
        require(self.steps >= 1, f"steps: {self.steps} is not ≥ 1")
        require(0 < self.tol < 1, f"tol: {self.tol} is not in (0, 1)")
        require(self.theorem_inputs >= 0, f"theorem_inputs: {self.theorem_inputs} is negative")
        require(self.input_distance > 0, f"input_distance: {self.input_distance} is not positive")
        require(self.parameter_distance > 0, f"parameter_distance: {self.parameter_distance} is not positive")
        require(self.secant_steps >= 1, f"secant_steps: {self.secant_steps} is not ≥ 1")
        require(self.batch_size >= 1, f"batch_size: {self.batch_size} is not ≥ 1")

    def measure(self, model: nn.Module, x: Tensor, y: Tensor) -> Measurement:
        """See Probe."""
        require_weights(self.name, model)
        network = evaluation_copy(model)
        if x.dtype.itemsize < 4:  # curvature is lost in 16 bits
            network, x = network.float(), x.float()
        in_x, ends = self._each(lambda u, rows: cross_entropy(network(u), y[rows.to(y.device)], reduction="none"), x)
        jumps = torch.cat([self._secant(network, x, y, index) for index in torch.split(torch.arange(len(x)), self.batch_size)])
        few = range(min(self.theorem_inputs, len(x)))
        first = FirstLayer.find(network, x[:1], y[:1]) if few else None
        found: dict[str, Any] = {}
        if first is not None:
            z = torch.cat([first.answer(x[i : i + 1]).detach() for i in few])
            in_b, more = self._each(lambda u, rows: first.losses(x[rows.to(x.device)], y[rows.to(y.device)], u), torch.zeros_like(z))
            cut, A = int((~ends[few] | ~more).sum()), first.norm(x[:1])
            said = (f"{cut} of {len(few)} cut off",) if cut else ()
            ends = torch.cat([ends, more])
            found = {"first_layer_norm": Number(A, 1), "bound": _median(in_x[few] / (A**2 * in_b))._replace(flags=said)}
        elif few:
            warnings.warn("smoothness: no first layer A x + b that all else follows from; its bound is not tried", stacklevel=2)
        network.requires_grad_(True)
        how: dict[str, Any] = {"steps": self.steps, "tol": self.tol, "seed": ("smoothness",)}
        whole = hessian.in_parameters(network, x, y, batch_size=self.batch_size, groups=GROUPS, **how)
        jump = secant.in_parameters(
            network, x, y, distance=self.parameter_distance, steps=self.secant_steps, batch_size=self.batch_size, seed=("smoothness",)
        )
        single = [hessian.in_parameters(network, x[i : i + 1], y[i : i + 1], **how) for i in few]
        if single:
            ratio = in_x[few] * math.sqrt(x[0].numel()) / torch.tensor([norm.value for norm in single], dtype=torch.float64)
            known = ratio.isfinite()
            broken = int((ratio[known] > 1).sum())
            found["theorem_1"] = _median(ratio)
            found["theorem_1_broken"] = _share(broken, int(known.sum()))
        cut_off = int((~ends).sum()) + sum(not norm.converged for norm in [whole, *single])
        size = sum(float(p.detach().double().square().sum()) for p in network.parameters())
        return Measurement(
            lipschitz_parameters=_norm(whole, len(x)),
            lipschitz_parameters_relative=_norm(whole, len(x), size),
            lipschitz_input=Number(float(in_x.mean()), len(x), bootstrap(in_x.numpy()), "bootstrap"),
            lipschitz_input_largest=Number(float(in_x.max()), len(x)),
            secant_parameters=Number(jump, len(x)),
            secant_input=Number(float(jumps.mean()), len(x), bootstrap(jumps.numpy()), "bootstrap"),
            **found,
            unconverged=_share(cut_off, len(ends) + 1 + len(single)),
        )

    def _secant(self, network: nn.Module, x: Tensor, y: Tensor, index: Tensor) -> Tensor:
        xs, ys = x[index.to(x.device)], y[index.to(y.device)]
        how: dict[str, Any] = {"distance": self.input_distance, "steps": self.secant_steps, "seed": ("smoothness", "secant")}
        return secant.of_each(lambda u: cross_entropy(network(u), ys, reduction="none"), xs, index, **how)

    def _each(self, losses: hessian.Losses, start: Tensor) -> tuple[Tensor, Tensor]:
        found = []
        for index in torch.split(torch.arange(len(start)), self.batch_size):

            def of(u: Tensor, rows: Tensor, index: Tensor = index) -> Tensor:
                return losses(u, index[rows])

            at = start[index.to(start.device)]
            found.append(hessian.of_each(of, at, index, steps=self.steps, tol=self.tol, seed=("smoothness", "input")))
        norms, ends = zip(*found, strict=True)
        return torch.cat(norms), torch.cat(ends)


def _norm(found: hessian.Norm, n: int, scale: float = 1.0) -> Number:
    ci = found.interval
    return Number(found.value * scale, n, ci and (ci[0] * scale, ci[1] * scale), "student, first order" if ci else None)


def _median(ratios: Tensor) -> Number:
    """Of those that are finite: where the loss has no curvature at all in double precision, there is no ratio."""
    kept = ratios[ratios.isfinite()].numpy()
    if not len(kept):
        return Number(None, 0)
    return Number(float(np.median(kept)), len(kept), bootstrap(kept, np.median), "bootstrap")


def _share(hits: int, n: int) -> Number:
    return Number(hits / n if n else None, n, wilson(hits, n), "wilson")
