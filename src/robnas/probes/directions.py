"""Two random, orthogonal directions to look along: in the space of weights (Eq. 12) and in that of inputs (Eq. 13)."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from robnas import seeds

Pair = tuple[Tensor, Tensor]


def of_weights(weights: Mapping[str, Tensor], *keys: int | str, layers: str = "all", kind: str = "filter") -> dict[str, Pair]:
    """name → (d₁, d₂), each of its weight's shape, d₁ ⊥ d₂ over all weights together. Drawn on the CPU, by name: equal everywhere.

    Weights of one dimension (biases, norms) have no filters and stay where they are, as in Li et al. (2018).

    Args:
        weights: parameters by name.
        keys: of the random stream.
        layers: "all", or "first" for the first weight that has filters.
        kind: "filter": `filter_normalised`; "halves": `halves`.

    Raises:
        ArithmeticError: d₁ and d₂ are not orthogonal.
    """
    drawn: Callable[..., Pair] = {"filter": filter_normalised, "halves": halves}[kind]
    moved = [name for name, w in weights.items() if w.ndim >= 2]
    found = {name: drawn(weights[name], seeds.generator(*keys, name)) for name in (moved[:1] if layers == "first" else moved)}
    require_orthogonal(found.values())
    return found


def filter_normalised(weight: Tensor, generator: torch.Generator) -> Pair:
    """Normal directions whose filters are each as long as the weight's own (Li et al., 2018, §4). weight: [filters, …] → same shape.

    Scaling filters after making whole directions orthogonal would undo it. So d₂ is made orthogonal to d₁ filter by filter, then scaled.
    A filter of a single weight has no second direction: there the whole tensor counts as one filter (and, of one weight, d₂ is 0).
    """
    own = weight.detach().double().cpu().flatten(1)
    rows = own if own.shape[1] > 1 else own.reshape(1, -1)
    a, b = (torch.randn(rows.shape, generator=generator, dtype=torch.float64) for _ in range(2))
    for _ in range(2):  # twice is enough (Giraud et al., 2005)
        b = b - (b * a).sum(1, keepdim=True) / a.square().sum(1, keepdim=True) * a
    if rows.shape[1] == 1:
        b = torch.zeros_like(b)
    lengths = rows.norm(dim=1, keepdim=True)
    one, two = (lengths * d / d.norm(dim=1, keepdim=True).clamp_min(1e-300) for d in (a, b))
    return one.reshape(weight.shape).to(weight), two.reshape(weight.shape).to(weight)


def halves(weight: Tensor, generator: torch.Generator) -> Pair:
    """The authors' code: ±1, half of each; the four pairs of signs equally often, so the two are orthogonal. What 4 leaves over is 0."""
    n = weight.numel() // 4 * 4
    places = torch.randperm(weight.numel(), generator=generator)[:n]
    signs = torch.tensor([[1.0, 1.0, -1.0, -1.0], [1.0, -1.0, 1.0, -1.0]], dtype=torch.float64).repeat(1, n // 4)
    flat = torch.zeros(2, weight.numel(), dtype=torch.float64)
    flat[:, places] = signs
    return flat[0].reshape(weight.shape).to(weight), flat[1].reshape(weight.shape).to(weight)


def of_inputs(index: Tensor, x: Tensor, *keys: int | str) -> Pair:
    """For each input two orthogonal directions of length √(C·H·W), so that a step is the RMS change of a pixel. [B, C, H, W] each.

    Args:
        index: [B] int64, names the inputs: an input's directions depend on nothing else.
        x: [B, C, H, W]; of two pixels at least.
        keys: of the random stream.

    Raises:
        ArithmeticError: d₁ and d₂ of an input are not orthogonal.
    """
    shape = tuple(x.shape[1:])
    a, b = (seeds.normal(index.cpu(), shape, *keys, axis, dtype=torch.float64).flatten(1) for axis in range(2))
    for _ in range(2):
        b = b - (b * a).sum(1, keepdim=True) / a.square().sum(1, keepdim=True) * a
    one, two = (d / d.square().mean(1, keepdim=True).sqrt() for d in (a, b))
    for pair in zip(one, two, strict=True):
        require_orthogonal([pair])
    return one.reshape(x.shape).to(x), two.reshape(x.shape).to(x)


def require_orthogonal(pairs: object) -> None:
    """pairs: (d₁, d₂) of each tensor. Raise ArithmeticError where the cosine of the whole directions is above 1e-6, or above the rounding
    of 16-bit numbers where they are stored in such.
    """
    sums, least = torch.zeros(3, dtype=torch.float64), 1e-6
    for one, two in pairs:  # type: ignore[attr-defined]
        least = max(least, torch.finfo(one.dtype).eps if one.dtype.itemsize < 4 else 0.0)
        a, b = one.double().flatten().cpu(), two.double().flatten().cpu()
        sums += torch.stack([a @ b, a @ a, b @ b])
    if not sums[0].abs() <= least * (sums[1] * sums[2]).sqrt():
        raise ArithmeticError(f"d₁ · d₂ = {float(sums[0]):.3g} with lengths {float(sums[1].sqrt()):.3g} and {float(sums[2].sqrt()):.3g}")
