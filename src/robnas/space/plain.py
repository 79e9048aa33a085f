"""What a cell of the supernet computes, in ordinary differentiable operations: any precision, any number of derivatives.

`fused.py` computes the same faster, with a backward pass written by hand, which falls back on this one where it must be differentiated.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from robnas.batch_norm import batch_norm
from robnas.space.partial import halve, join
from robnas.space.plan import DILATED, POOLS, Group, Plan

EPS = 1e-5

Weights = Mapping[tuple[tuple[int, str], str], Tensor]
"""By ((source, operation), name). Depthwise: [K·C, 1, k, k], pointwise: [K, C, C], others as torch has them; K nodes are fed."""


class Pass(NamedTuple):
    """What is fixed for one pass through a cell.

    plan: what to compute; keys: ((source, operation), name) of its weights; mean, var: [R, C] running statistics of its rows, moved in
    place while `moving`; training: moments of the batch, else the running ones; across_ranks: of all ranks' batch; masks: by source, what
    its identity skips are multiplied with, [N, K·C, H, W].
    """

    plan: Plan
    keys: Sequence[tuple[tuple[int, str], str]]
    mean: Tensor
    var: Tensor
    training: bool
    moving: bool
    across_ranks: bool
    masks: Mapping[int, Tensor]


def cell(run: Pass, inputs: tuple[Tensor, Tensor], coefficients: Tensor, weights: Sequence[Tensor]) -> Tensor:
    """inputs: two of [N, C, H, W]; coefficients: of groups, then of what bypasses them → the output nodes, [N, outputs·C, H′, W′]."""
    plan, named = run.plan, dict(zip(run.keys, weights, strict=True))
    n, channels, h, w = inputs[0].shape
    h, w = ((h + 1) // 2, (w + 1) // 2) if plan.reduction else (h, w)
    c = channels // plan.partial
    rows = _Rows(run)
    parts = torch.split(coefficients, [len(nodes) for nodes in (*(g.nodes for g in plan.each()), *plan.bypass.values())])
    factors, past = iter(parts), dict(zip(reversed(plan.bypass), reversed(parts), strict=False))
    mixed = dict.fromkeys(range(2, 2 + plan.space.nodes), inputs[0].new_zeros(n, c, h, w))
    passed = dict.fromkeys(mixed, inputs[0].new_zeros(n, channels - c, h, w))
    for source, (first, _) in plan.rows.items():
        whole, step = inputs[source] if source < 2 else join(mixed[source], passed[source]), 2 if plan.halves(source) else 1
        x = whole[:, :c]
        r = x.relu()
        halfway = {g: rows.norm(_separable(r, g, named, 1, step), len(g.nodes)).relu() for g in first}
        for group in plan.groups[source]:
            k = len(group.nodes)
            factor = next(factors)
            if plan.identity(group):
                each = torch.split(run.masks[source], c, 1) if source in run.masks else ()
                terms = [x * m * a for a, m in zip(factor, each, strict=True)] if each else [x * a for a in factor]
            else:
                y = _separable(halfway[group], group, named, 2, 1) if group in halfway else _before_norm(x, r, group, named, step)
                scaled = rows.norm(y, k) * factor.to(y.dtype).repeat_interleave(c)[:, None, None]
                terms = list(torch.split(scaled, c, 1))
            for i, term in zip(group.nodes, terms, strict=True):
                mixed[i] = mixed[i] + term
        if plan.bypass[source]:
            rest = halve(whole[:, c:]) if step == 2 else whole[:, c:]
            for i, b in zip(plan.bypass[source], past[source], strict=True):
                passed[i] = passed[i] + rest * b
    found = [join(mixed[i], passed[i]) for i in plan.outputs]
    return torch.cat([x if i in plan.counted else torch.zeros_like(x) for i, x in zip(plan.outputs, found, strict=True)], 1)


class _Rows:
    """Hands out the norms of a pass in their order."""

    def __init__(self, run: Pass) -> None:
        self.run, self.next = run, 0

    def norm(self, y: Tensor, k: int) -> Tensor:
        """y: [N, K·C, H, W] through the next K rows."""
        run, here = self.run, slice(self.next, self.next + k)
        self.next += k
        running = (run.mean[here].view(-1), run.var[here].view(-1)) if run.moving or not run.training else (None, None)
        return batch_norm(y, *running, training=run.training, eps=EPS, across_ranks=run.across_ranks)


def _separable(x: Tensor, group: Group, weights: Weights, stage: int, step: int) -> Tensor:
    """Depthwise and pointwise convolution. x: [N, C, ·, ·], to be read by every edge, or [N, K·C, ·, ·]."""
    key, k = (group.source, group.operation), len(group.nodes)
    depth, point = weights[key, f"depthwise_{stage}"], weights[key, f"pointwise_{stage}"]
    dilation = 2 if group.operation in DILATED else 1
    x = x.repeat(1, k, 1, 1) if len(depth) != x.shape[1] else x
    x = F.conv2d(x, depth, None, step, depth.shape[-1] // 2 * dilation, dilation, len(depth))
    return F.conv2d(x, point.flatten(0, 1)[..., None, None], groups=k)


def _before_norm(x: Tensor, r: Tensor, group: Group, weights: Weights, step: int) -> Tensor:
    """Any other operation but for its last norm. x: [N, C, H, W], r: its ReLU → [N, K·C, H′, W′]."""
    operation, k = group.operation, len(group.nodes)
    key = (group.source, operation)
    if operation in DILATED:
        return _separable(r, group, weights, 1, step)
    if operation in POOLS:
        return pool(x, operation, step).repeat(1, k, 1, 1)
    if operation == "conv_7x1_1x7":
        wide, tall = weights[key, "wide"], weights[key, "tall"]
        return F.conv2d(F.conv2d(r, wide, None, (1, step), (0, 3)), tall, None, (step, 1), (3, 0), groups=k)
    return F.conv2d(both_grids(r), weights[key, "dense"])


def pool(x: Tensor, operation: str, step: int) -> Tensor:
    """3×3, the padding left out. x: [N, C, H, W]."""
    return F.max_pool2d(x, 3, step, 1) if operation == "max_pool_3x3" else F.avg_pool2d(x, 3, step, 1, count_include_pad=False)


def both_grids(x: Tensor) -> Tensor:
    """The even pixels and the odd ones, beside each other as channels; where H or W is odd, the last odd row or column is zero."""
    return torch.cat((x[:, :, ::2, ::2], F.pad(x, (-1, 1, -1, 1))[:, :, ::2, ::2]), 1)
