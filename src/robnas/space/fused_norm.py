"""Batch norms of a whole stage at once, forward and backward. A *row* is one norm of C channels (`plan.py`)."""

from collections.abc import Iterable

import torch
from torch import Tensor

from robnas.batch_norm import Count, move_, pooled
from robnas.collectives import across_ranks, world_size
from robnas.space.plain import EPS, Pass
from robnas.space.plan import Group

Maps = dict[Group, Tensor]
"""[N, K·C, H, W] for each group."""


class Rows:
    """The norms of one pass through a cell, in their order.

    Args:
        run: the pass.
        n: values of a channel on this rank.
    """

    def __init__(self, run: Pass, n: int) -> None:
        self.run, self.n, self.next = run, n, 0
        self.pooling = run.training and run.across_ranks and world_size() > 1
        self.total: Count = n
        self.seen: list[tuple[Tensor, Tensor]] = []

    def forward(self, ys: Maps) -> tuple[Tensor, Tensor]:
        """Mean and 1/σ of the next rows, [R, C] each."""
        run, k = self.run, sum(len(g.nodes) for g in ys)
        here = slice(self.next, self.next + k)
        self.next += k
        if not run.training:
            return run.mean[here], (run.var[here] + EPS).rsqrt_()
        means, variances = zip(*map(moments, ys.values()), strict=True)
        mean, var = (torch.cat(m).view(k, -1) for m in (means, variances))
        if self.pooling:
            mean, var, self.total = pooled(mean, var, self.n)
        self.seen.append((mean, var))
        return mean, (var + EPS).rsqrt_()

    def relu(self, ys: Maps, mean: Tensor, rstd: Tensor) -> Maps:
        """ReLU of the normed maps."""
        scales, shifts = per_group(rstd, ys), per_group(-mean * rstd, ys)
        return {g: torch.addcmul(t, y, s).relu_() for (g, y), s, t in zip(ys.items(), scales, shifts, strict=True)}

    def move(self) -> None:
        """Running statistics towards what `forward` saw."""
        if self.run.moving and self.seen:
            mean, var = (torch.cat(t) for t in zip(*self.seen, strict=True))
            move_(self.run.mean, self.run.var, mean, var, self.total)

    def first_backward(self, gs: Maps, us: Maps, ys: Maps, mean: Tensor, rstd: Tensor) -> Maps:
        """Through ReLU and norm. gs: gradients of us = relu(norm(ys))."""
        gs = {g: torch.ops.aten.threshold_backward(t, us[g], 0) for g, t in gs.items()}
        sums = torch.cat([_sum(t) for t in gs.values()]).view_as(mean)
        products = torch.cat([_sum(t * ys[g]) for g, t in gs.items()]).view_as(mean)
        return self._through(gs, ys, sums, torch.addcmul(products, mean, sums, value=-1).mul_(rstd), mean, rstd, rstd)

    def last_backward(
        self, gs: Maps, ys: Maps, normed: int, moments: tuple[Tensor, Tensor] | None, factor: Tensor, want_y: bool
    ) -> tuple[Tensor, Maps]:
        """Through factor · norm.

        Args:
            gs: gradients of what was added to the nodes.
            ys: what was normed, or is added as it is.
            normed: groups, from the first, that have a norm.
            moments: their mean and 1/σ, [R, C].
            factor: coefficients of all.
            want_y: whether gradients of ys are wanted.

        Returns gradients of the coefficients, and of ys.
        """
        shared = {g.nodes: t for g, t in gs.items()}
        sum_of = {nodes: _sum(t) for nodes, t in shared.items()}
        inner = torch.cat([_sum(g * y) for g, y in zip(gs.values(), ys.values(), strict=True)]).view(len(factor), -1)  # Σ g·y
        if moments is None:
            return inner.sum(1), _scaled(gs, factor[:, None].expand_as(inner)) if want_y else {}
        mean, rstd = moments
        k, with_norm = len(mean), dict(list(gs.items())[:normed])
        sums = torch.cat([sum_of[g.nodes] for g in with_norm]).view_as(mean)
        inner[:k].addcmul_(mean, sums, value=-1).mul_(rstd)  # Σ g·ŷ
        g_factor = inner.sum(1)
        if not want_y:
            return g_factor, {}
        g_ys = self._through(with_norm, ys, sums, inner[:k], mean, rstd, factor[:k, None] * rstd)
        if k < len(factor):
            g_ys |= _scaled(dict(list(gs.items())[normed:]), factor[k:, None].expand_as(inner[k:]))
        return g_factor, g_ys

    def _through(self, gs: Maps, ys: Maps, sums: Tensor, inner: Tensor, mean: Tensor, rstd: Tensor, scale: Tensor) -> Maps:
        """scale · (g − Σg/n − ŷ·Σ(g·ŷ)/n), with ŷ = (y − mean)/σ, written as a·g + b·y + c; sums, inner, …: [R, C]."""
        if not self.run.training:
            return _scaled(gs, scale)
        n: Count = self.n
        if self.pooling:
            sums, inner = across_ranks(torch.stack((sums, inner))).unbind()
            n = across_ranks(scale.new_full((), self.n))
        share = scale / -n
        b = share * rstd * inner
        c = torch.addcmul(share * sums, b, mean, value=-1)
        rows = (per_group(t, gs) for t in (scale, b, c))
        return {g: torch.addcmul(c_, ys[g], b_).addcmul_(t, a_) for (g, t), a_, b_, c_ in zip(gs.items(), *rows, strict=True)}


def per_group(rows: Tensor, groups: Iterable[Group]) -> list[Tensor]:
    """rows: [R, C] → for each group [1, K·C, 1, 1]."""
    c = rows.shape[1]
    return list(torch.split(rows.reshape(1, -1, 1, 1), [len(g.nodes) * c for g in groups], 1))


def moments(y: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and biased variance of every channel. y: [N, C, H, W], channels_last."""
    if not len(y):
        return y.new_zeros(y.shape[1]), y.new_zeros(y.shape[1])
    if y.device.type == "cpu":  # 30 times as fast as var_mean
        found: tuple[Tensor, Tensor] = torch.batch_norm_update_stats(y, None, None, 0.0)
        return found
    var, mean = torch.var_mean(y, (0, 2, 3), correction=0)
    return mean, var


def _scaled(gs: Maps, scale: Tensor) -> Maps:
    return {g: t * s for (g, t), s in zip(gs.items(), per_group(scale, gs), strict=True)}


def _sum(y: Tensor) -> Tensor:
    """Σ over all but the channels."""
    return y.sum((0, 2, 3))
