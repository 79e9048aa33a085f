"""Γ(α, β) = L(θ* + α d₁ + β d₂), Eq. 12, for all points of a grid: the expensive part of a loss contour."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import redirect_stderr
from io import StringIO

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from robnas import seeds
from robnas.copies import evaluation_copy
from robnas.fold import fold
from robnas.probes.directions import Pair
from robnas.probes.surface import Array

Loss = Callable[[Tensor, Tensor], Tensor]
"""(the model's answers [B, …], y [B, …]) → [B]."""

_POISSON = torch.tensor([1.0, 1.0, 0.5, 1 / 6, 1 / 24, 1 / 120, 1 / 720, 1 / 5040]).double().cumsum(0) / torch.e  # P(k ≤ 0 … 7)


def nats(logits: Tensor, y: Tensor) -> Tensor:
    """Cross entropy of each input: [B, classes], [B] → [B]; of 16-bit logits in single precision."""
    return cross_entropy(logits.float() if logits.dtype.itemsize < 4 else logits, y, reduction="none")


@torch.no_grad()
def scan(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    grid: Sequence[float] | Array,
    directions: Mapping[str, Pair],
    *,
    batch_size: int = 128,
    resamples: int = 0,
    loss: Loss = nats,
) -> tuple[Array, Array]:
    """x: [N, C, H, W], y: [N] → Γ [R, R], rows α and columns β, and Γ of `resamples` Poisson bootstraps of the inputs [resamples, R, R].

    Weights are moved in place in a prepared copy, once for each point and batch; nothing is kept of a batch but sums, so memory does not
    grow with N. A bootstrap that streams gives each input a Poisson(1) weight of its own (Oza and Russell, 2001), drawn by its place in x.
    """
    network, along = prepared(model, x[: min(4, batch_size)], directions)
    sums, weights = torch.zeros(1 + resamples, len(grid) ** 2, dtype=torch.float64), torch.zeros(1 + resamples, dtype=torch.float64)
    for rows in torch.split(torch.arange(len(x)), batch_size):
        xs, ys = x[rows].contiguous(memory_format=torch.channels_last) if x.ndim == 4 else x[rows], y[rows]
        share = torch.cat([torch.ones(len(rows), 1, dtype=torch.float64), poisson(rows, resamples)], 1)
        weights += share.sum(0)
        for point, _ in enumerate(_places(network, along, grid)):
            sums[:, point] += share.T @ loss(network(xs.clone()), ys).double().cpu()
    gamma = (sums / weights[:, None]).reshape(-1, len(grid), len(grid)).numpy()
    return np.asarray(gamma[0]), np.asarray(gamma[1:])


def poisson(index: Tensor, resamples: int) -> Tensor:
    """Poisson(1) counts [B, resamples] float64, cut at 8 (P < 1e-5). index: [B] int64."""
    drawn = seeds.uniform(index, (resamples,), "poisson", dtype=torch.float64) if resamples else torch.zeros(len(index), 0)
    return torch.searchsorted(_POISSON, drawn.double(), right=True).double()


def _places(network: nn.Module, along: Mapping[str, Pair], grid: Sequence[float] | Array) -> Iterator[None]:
    """The network's weights at each point in turn, β fastest; each time from θ*, so that nothing adds up. Then θ* again."""
    moved = [(p, p.clone(), *along[name]) for name, p in network.named_parameters() if name in along]
    for a in grid:
        here = [(p, torch.add(start, one, alpha=float(a)), two) for p, start, one, two in moved]
        for b in grid:
            for p, start, two in here:
                torch.add(start, two, alpha=float(b), out=p)
            yield
    for p, start, *_ in moved:
        p.copy_(start)


def prepared(model: nn.Module, x: Tensor, directions: Mapping[str, Pair]) -> tuple[nn.Module, dict[str, Pair]]:
    """A copy of the same function with BatchNorm folded, channels_last, and the same directions for its weights. x: a few inputs.

    Folding multiplies each filter by a number s and leaves the rest to the bias, which is not moved: θ + α d becomes s θ + α s d. So s is
    read off the folded weights. Where that is not all that happened, or logits differ there or along d₁, the model is taken as it is.
    """
    plain = evaluation_copy(model).to(memory_format=torch.channels_last)
    own = dict(plain.named_parameters())
    try:
        with redirect_stderr(StringIO()):  # torch.fx prints a traceback as well
            folded = fold(evaluation_copy(model))[0].to(memory_format=torch.channels_last)
        along = _folded(own, dict(folded.named_parameters()), directions)
        if along is not None and _same(plain, directions, folded, along, x):
            return folded, along
    except Exception:  # user code under a tracer: it may raise anything
        pass
    return plain, dict(directions)


def _folded(own: Mapping[str, Tensor], folded: Mapping[str, Tensor], directions: Mapping[str, Pair]) -> dict[str, Pair] | None:
    along = {}
    for name, pair in directions.items():
        if name not in folded:
            return None
        before, after = own[name].flatten(1), folded[name].flatten(1)
        s = (after * before).sum(1) / before.square().sum(1).clamp_min(torch.finfo(before.dtype).tiny)
        s = s.view(-1, *[1] * (own[name].ndim - 1))
        if not torch.allclose(s * own[name], folded[name], rtol=1e-4, atol=1e-6 * float(folded[name].abs().max())):
            return None
        one, two = ((s * d).to(folded[name]) for d in pair)
        along[name] = (one, two)
    return along


def _same(plain: nn.Module, directions: Mapping[str, Pair], folded: nn.Module, along: Mapping[str, Pair], x: Tensor) -> bool:
    """At θ* and a step away along both directions."""
    answers = [
        [network(x.clone()) for step in (0.0, 0.1) for _ in _places(network, d, (step,))]
        for network, d in ((plain, directions), (folded, along))
    ]
    return all(torch.allclose(a, b, rtol=1e-3, atol=1e-3 * float(a.abs().max())) for a, b in zip(*answers, strict=True))
