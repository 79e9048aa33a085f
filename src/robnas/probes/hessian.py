"""‖∇²L‖₂, the local Lipschitz constant of ∇L, by power iteration on exact Hessian-vector products (Pearlmutter, 1994).

‖H v‖ of the unit vector v never falls from one product to the next and never exceeds ‖H‖₂: an iteration that is cut off errs downwards.
Taking ‖H v‖ rather than vᵀH v also serves a Hessian whose two largest eigenvalues are λ and −λ.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from robnas import seeds
from robnas.statistics import student

Losses = Callable[[Tensor, Tensor], Tensor]
"""(point [B, …], rows [B] int64: which inputs they belong to) → the loss of each [B], depending on its own point alone."""


@dataclass(frozen=True)
class Norm:
    """A norm from below, whether the last product still changed it by more than `tol`, relatively, and its interval over inputs."""

    value: float
    converged: bool
    interval: tuple[float, float] | None = None


def in_parameters(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    *,
    steps: int,
    tol: float,
    batch_size: int = 64,
    seed: tuple[int | str, ...] = (),
    groups: int = 0,
) -> Norm:
    """‖∇²_θ L‖₂ of the mean loss over x [N, C, H, W], y [N]. model: in evaluation mode; its parameters must require gradients.

    Graphs are of one batch at a time, so memory does not grow with N. A direction is drawn for each parameter by its name.

    With `groups` ≥ 2 there is an interval over inputs: ‖H‖₂ = uᵀ H v for its singular vectors u and v, and that these depend on the inputs,
    too, counts in second order alone. So it is Student's interval of the mean of uᵀ H_a v over random groups a of inputs, about the norm.
    Where the largest eigenvalues lie closer than inputs move them, as in an untrained network, the norm of a mean of few inputs errs
    upwards and the interval is too narrow (by 1.7 in one such case, beside a bootstrap).
    """
    named = {name: p for name, p in model.named_parameters() if p.is_floating_point()}
    drawn = {name: torch.randn(p.shape, generator=seeds.generator(*seed, name), dtype=torch.float64) for name, p in named.items()}
    v, weights = [drawn[name].to(p) for name, p in named.items()], [*named.values()]

    def product(v: list[Tensor], x: Tensor = x, y: Tensor = y) -> list[Tensor]:
        total = [torch.zeros_like(p) for p in weights]
        for xs, ys in zip(torch.split(x, batch_size), torch.split(y, batch_size), strict=True):
            loss = cross_entropy(model(xs), ys, reduction="sum") / len(x)
            slope = torch.autograd.grad(loss, weights, create_graph=True, allow_unused=True, materialize_grads=True)
            along = sum((g * d).sum() for g, d in zip(slope, v, strict=True))
            torch._foreach_add_(total, [*_grad(along, weights)])
        return total

    value, converged = 0.0, False
    for _ in range(steps):
        length = _length(v)
        if not length > 0:
            return Norm(value, True)
        unit = [d / length for d in v]
        v = product(unit)
        before, value = value, _length(v)
        converged = value - before <= tol * value
        if converged:
            break
    if min(groups, len(x)) < 2 or not value > 0:
        return Norm(value, converged)
    shuffled = torch.randperm(len(x), generator=seeds.generator(*seed, "groups"))  # data sets have periods
    other, of_groups = [d / value for d in v], []  # unit and other: right and left singular vector, whose H exchanges them
    for i in range(min(groups, len(x))):
        of_group = product(unit, x[shuffled[i::groups]], y[shuffled[i::groups]])
        of_groups.append(sum(float((a.double() * b.double()).sum()) for a, b in zip(other, of_group, strict=True)))
    low, high = student(of_groups)
    half = (high - low) / 2
    return Norm(value, converged, (max(0.0, value - half), value + half))


def of_each(
    losses: Losses, start: Tensor, index: Tensor, *, steps: int, tol: float, seed: tuple[int | str, ...] = ()
) -> tuple[Tensor, Tensor]:
    """‖∇² ℓ_i‖₂ for each input at its point. start: [B, …] → (norms [B] float64, converged [B] bool).

    index: [B] int64 names the inputs: an input's first direction, and so its result, depend on no other input. Inputs that have converged
    leave.
    """
    found, done = torch.zeros(len(start), dtype=torch.float64), torch.zeros(len(start), dtype=torch.bool)
    rows = torch.arange(len(start))
    v = seeds.normal(index.cpu(), tuple(start.shape[1:]), *seed, dtype=torch.float64).to(start)
    for _ in range(steps):
        v = v / _each_length(v).clamp_min(torch.finfo(v.dtype).tiny).to(v).view(-1, *[1] * (v.ndim - 1))
        u = start[rows.to(start.device)].detach().requires_grad_()
        (slope,) = torch.autograd.grad(losses(u, rows).sum(), u, create_graph=True)
        v = _grad((slope * v).sum(), [u])[0]
        value = _each_length(v).cpu()
        stays = value - found[rows] > tol * value
        found[rows], done[rows] = value, ~stays
        rows, v = rows[stays], v[stays.to(v.device)]
        if not len(rows):
            break
    return found, done


def _grad(value: Tensor | int, at: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """The second derivative; zero where the first does not depend on `at`, as that of a linear model's logit."""
    if not isinstance(value, Tensor) or not value.requires_grad:
        return tuple(torch.zeros_like(p) for p in at)
    return torch.autograd.grad(value, at, allow_unused=True, materialize_grads=True)


def _length(v: list[Tensor]) -> float:
    return float(torch.stack([d.double().square().sum() for d in v]).sum().sqrt())


def _each_length(v: Tensor) -> Tensor:
    found: Tensor = v.detach().double().flatten(1).norm(dim=1)
    return found
