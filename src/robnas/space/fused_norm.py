"""Batch norms of a whole stage at once, forward and backward. A *row* is one norm of C channels (`plan.py`)."""

from collections.abc import Iterable

import torch
from torch import Tensor

from robnas.batch_norm import Count, move_, pooled
from robnas.collectives import across_ranks, world_size
from robnas.space.fused_input import gather, spread
from robnas.space.plain import EPS, Pass
from robnas.space.plan import Group

Maps = dict[Group, Tensor]
"""[N, K·C, H, W] for each group; or [N, C, H, W], the same map for all of its edges."""


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
        found = [self._of_edges(g, y) for g, y in ys.items()]
        mean, var = (torch.cat(parts).view(k, -1) for parts in zip(*found, strict=True))
        if self.pooling:
            mean, var, self.total = pooled(mean, var, self.n)
        self.seen.append((mean, var))
        return mean, (var + EPS).rsqrt_()

    def _of_edges(self, group: Group, y: Tensor) -> tuple[Tensor, Tensor]:
        """Moments of every edge, [K·C] each."""
        mean, var = moments(y)
        copies = len(group.nodes) * self.run.mean.shape[1] // len(mean)  # more than one where all edges share one map
        return (mean, var) if copies == 1 else (mean.repeat(copies), var.repeat(copies))

    def center_(self, ys: Maps, mean: Tensor) -> None:
        """Takes the mean off, in place."""
        for y, m in zip(ys.values(), per_group(mean, ys), strict=True):
            y.sub_(m)

    def move(self) -> None:
        """Running statistics towards what `forward` saw."""
        if self.run.moving and self.seen:
            mean, var = (torch.cat(t) for t in zip(*self.seen, strict=True))
            move_(self.run.mean, self.run.var, mean, var, self.total)

    def first_backward(self, gs: Maps, halves: Maps, rstd: Tensor) -> Maps:
        """From the centred maps h = y − mean to y: g − Σg/n − h·Σ(g·h)/(n·σ²), where gs take mean and σ as given."""
        if not self.run.training:
            return gs
        sums = torch.cat([_sum(t) for t in gs.values()] + [_sum(t * halves[g]) for g, t in gs.items()]).view(2, *rstd.shape)
        share = (across_ranks(sums) if self.pooling else sums) / -self._total(sums)
        cs, bs = per_group(share[0], gs), per_group(share[1] * rstd * rstd, gs)
        return {g: torch.addcmul(c, halves[g], b).add_(t) for (g, t), c, b in zip(gs.items(), cs, bs, strict=True)}

    def _total(self, like: Tensor) -> Count:
        """Values of a channel on all ranks."""
        return across_ranks(like.new_full((), self.n)) if self.pooling else self.n

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
        products = [_sum(t * spread(ys[g], t.shape[1] // ys[g].shape[1])) for g, t in gs.items()]
        inner = torch.cat(products).view(len(factor), -1)  # Σ g·y
        if moments is None:
            return inner.sum(1), _scaled(gs, ys, factor[:, None].expand_as(inner)) if want_y else {}
        mean, rstd = moments
        k, with_norm = len(mean), dict(list(gs.items())[:normed])
        sums = torch.cat([sum_of[g.nodes] for g in with_norm]).view_as(mean)
        inner[:k].addcmul_(mean, sums, value=-1).mul_(rstd)  # Σ g·ŷ
        g_factor = inner.sum(1)
        if not want_y:
            return g_factor, {}
        g_ys = self._through(with_norm, ys, sums, inner[:k], mean, rstd, factor[:k, None] * rstd)
        if k < len(factor):
            g_ys |= _scaled(dict(list(gs.items())[normed:]), ys, factor[k:, None].expand_as(inner[k:]))
        return g_factor, g_ys

    def _through(self, gs: Maps, ys: Maps, sums: Tensor, inner: Tensor, mean: Tensor, rstd: Tensor, scale: Tensor) -> Maps:
        """scale · (g − Σg/n − ŷ·Σ(g·ŷ)/n), with ŷ = (y − mean)/σ, written as a·g + b·y + c; sums, inner, …: [R, C]."""
        if not self.run.training:
            return _scaled(gs, ys, scale)
        if self.pooling:
            sums, inner = across_ranks(torch.stack((sums, inner))).unbind()
        share = scale / -self._total(scale)
        b = share * rstd * inner
        c = torch.addcmul(share * sums, b, mean, value=-1)
        found: Maps = {}
        for (g, t), a_, b_, c_ in zip(gs.items(), *(per_group(t, gs) for t in (scale, b, c)), strict=True):
            y = ys[g]
            if y.shape[1] == t.shape[1]:
                found[g] = torch.addcmul(c_, y, b_).addcmul_(t, a_)
            else:
                k = len(g.nodes)
                found[g] = gather(t * a_, k).add_(torch.addcmul(_over_edges(c_, k), y, _over_edges(b_, k)))
        return found


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


def _scaled(gs: Maps, ys: Maps, scale: Tensor) -> Maps:
    """scale · g, added up over edges where these share one map."""
    return {g: gather(t * s, t.shape[1] // ys[g].shape[1]) for (g, t), s in zip(gs.items(), per_group(scale, gs), strict=True)}


def _over_edges(row: Tensor, k: int) -> Tensor:
    """[1, K·C, 1, 1] → its sum over edges, [1, C, 1, 1]."""
    return row.view(1, k, -1, 1, 1).sum(1)


def _sum(y: Tensor) -> Tensor:
    """Σ over all but the channels."""
    return y.sum((0, 2, 3))
