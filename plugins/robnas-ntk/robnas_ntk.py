"""The condition number of the neural tangent kernel: a probe for robnas, in a package of its own.

§5.3 names it as another measure of trainability that may go with vulnerability; Chen et al. (TE-NAS, 2021, §3.1.1) search by it.
"""

import math
from statistics import fmean

import torch
from torch import Tensor, nn

from robnas.errors import require
from robnas.probes import Measurement, Probe
from robnas.probes.base import require_weights
from robnas.results import Number
from robnas.statistics import student


class NTK(Probe):
    """κ = λ_max / λ_min of Θ(x, x') = ⟨∇_θ f(x), ∇_θ f(x')⟩, f the sum of all logits: large κ, slow training.

    The kernel of the sum stands for that of all classes, as in TE-NAS's code (and Mohamadi et al., 2023): a C-th of the rows, the same
    limit in width. Unlike theirs, batch norms use running statistics, so that an input's gradient is its own. κ grows with the batch, so
    models are compared at equal `batch`. The value is the geometric mean over disjoint batches, its interval Student's of log κ; inputs
    that do not fill a batch are left out. Where a kernel is singular there is no value, but a flag.

    Args:
        n_samples: inputs.
        batch: inputs of a kernel; as many gradients are held at once.
        hooks: when, in `fit`.
    """

    def __init__(self, n_samples: int = 128, batch: int = 16, hooks: tuple[str, ...] = ("fit_start", "fit_end")) -> None:
        self.n_samples, self.batch, self.hooks = n_samples, batch, hooks

    def check(self) -> None:
        super().check()
        require(2 <= self.batch <= self.n_samples, f"batch: {self.batch} is not from 2 to n_samples, {self.n_samples}")

    def measure(self, model: nn.Module, x: Tensor, y: Tensor) -> Measurement:
        require_weights(self.name, model)
        batches = x[: len(x) // self.batch * self.batch or None].split(self.batch)  # fewer than `batch` are one
        kappas = [condition_number(kernel(model, inputs)) for inputs in batches]
        return Measurement(ntk_condition_number=number(kappas, sum(map(len, batches))))


def number(kappas: list[float], n: int) -> Number:
    """Of a batch each → their geometric mean; n: inputs of these batches."""
    if math.inf in kappas:
        return Number(None, n, flags=(f"{kappas.count(math.inf)} of {len(kappas)} kernels are singular",))
    logs = [math.log(kappa) for kappa in kappas]
    low, high = student(logs)
    interval = (math.exp(low), math.exp(high)) if len(logs) > 1 else None
    return Number(math.exp(fmean(logs)), n, interval, "student of logs" if interval else None)


def kernel(model: nn.Module, x: Tensor) -> Tensor:
    """Θ. x: [B, C, H, W] → [B, B] in float64."""
    weights = [p.detach().requires_grad_() for p in model.parameters() if p.is_floating_point()]
    names = [name for name, p in model.named_parameters() if p.is_floating_point()]

    def gradient(one: Tensor) -> list[Tensor]:
        f = torch.func.functional_call(model, dict(zip(names, weights, strict=True)), one[None]).sum()
        return [g.flatten() for g in torch.autograd.grad(f, weights, allow_unused=True, materialize_grads=True)]

    rows = [torch.stack(g) for g in zip(*map(gradient, x), strict=True)]  # a parameter each: [B, its numbers]
    return sum((g.double() @ g.double().T for g in rows), start=x.new_zeros(len(x), len(x), dtype=torch.float64))


def condition_number(theta: Tensor) -> float:
    """λ_max / λ_min of a symmetric matrix; ∞ where it is singular to rounding in single precision, as where an input is there twice."""
    eigenvalues = torch.linalg.eigvalsh(theta)
    low, high = float(eigenvalues[0]), float(eigenvalues[-1])
    return high / low if low > torch.finfo(torch.float32).eps * high else math.inf
