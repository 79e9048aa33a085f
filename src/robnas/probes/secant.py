"""Lipschitz constants of ∇L by the definition (§4.1): ‖∇L(θ) − ∇L(θ′)‖ / ‖θ − θ′‖ at a given distance, along steep directions.

Between the kinks of ReLU and max pooling a network's Hessian sees nothing of them; a gradient across them jumps, and this sees it. Power
iteration with the difference in the Hessian's place: v ← (∇L(θ + r v) − ∇L(θ)) / r, made of length 1. Each is a bound from below of L
in the ball of radius r, so the largest of all steps is.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from robnas import seeds


def of_each(
    losses: Callable[[Tensor], Tensor], x: Tensor, index: Tensor, *, distance: float, steps: int, seed: tuple[int | str, ...]
) -> Tensor:
    """The largest found for each input → [B] float64. losses: [B, …] → [B]; index: [B] int64 names inputs; distance: L2, in x's unit."""

    def slope(at: Tensor) -> Tensor:
        u = at.detach().requires_grad_()
        (g,) = torch.autograd.grad(losses(u).sum(), u)
        return g

    def lengths(v: Tensor) -> Tensor:
        found: Tensor = v.double().flatten(1).norm(dim=1)
        return found

    here, found = slope(x), torch.zeros(len(x), dtype=torch.float64)
    v = seeds.normal(index.cpu(), tuple(x.shape[1:]), *seed, dtype=torch.float64).to(x)
    for _ in range(steps):
        v = v / lengths(v).clamp_min(torch.finfo(v.dtype).tiny).to(v).view(-1, *[1] * (v.ndim - 1))
        v = (slope(x + distance * v) - here) / distance
        found = torch.maximum(found, lengths(v).cpu())
    return found


def in_parameters(
    model: nn.Module, x: Tensor, y: Tensor, *, distance: float, steps: int, batch_size: int = 64, seed: tuple[int | str, ...] = ()
) -> float:
    """The same of the mean loss over x [N, C, H, W], y [N], in all parameters. distance: L2, as a share of ‖θ‖.

    model: in evaluation mode, its parameters requiring gradients; they are moved, and put back bit for bit.
    """
    named = {name: p for name, p in model.named_parameters() if p.is_floating_point()}
    weights = list(named.values())
    start = [p.detach().clone() for p in weights]

    def slope() -> list[Tensor]:
        total = [torch.zeros_like(p) for p in weights]
        for xs, ys in zip(torch.split(x, batch_size), torch.split(y, batch_size), strict=True):
            loss = cross_entropy(model(xs), ys, reduction="sum") / len(x)
            torch._foreach_add_(total, list(torch.autograd.grad(loss, weights, allow_unused=True, materialize_grads=True)))
        return total

    radius, found = distance * _length(start), 0.0
    here = slope()
    v = [torch.randn(p.shape, generator=seeds.generator(*seed, name), dtype=torch.float64).to(p) for name, p in named.items()]
    for _ in range(steps):
        if not (length := _length(v)) > 0 or not radius > 0:
            break
        with torch.no_grad():
            for p, p0, d in zip(weights, start, v, strict=True):
                p.copy_(p0 + radius / length * d)
        v = [(a - b) / radius for a, b in zip(slope(), here, strict=True)]
        found = max(found, _length(v))
    with torch.no_grad():
        for p, p0 in zip(weights, start, strict=True):
            p.copy_(p0)
    return found


def _length(v: list[Tensor]) -> float:
    return float(torch.stack([d.double().square().sum() for d in v]).sum().sqrt())
