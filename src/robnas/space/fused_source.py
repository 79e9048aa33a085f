"""All operations that read one source of a cell, forward and backward."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from robnas.space.fused_input import Input
from robnas.space.fused_norm import Maps, Rows, per_group
from robnas.space.fused_paths import Dilated, Halve, Identity, MaxPool, MeanPool, Named, Wide, stage, stage_backward
from robnas.space.plain import Pass
from robnas.space.plan import DILATED, Group, Plan

Kept = dict[tuple[Any, str], Tensor]
"""By (owner, name): the owner is a group, a source, or (source, operation)."""

_PATHS: dict[str, Any] = {
    **dict.fromkeys(DILATED, Dilated),
    "conv_7x1_1x7": Wide,
    "max_pool_3x3": MaxPool,
    "avg_pool_3x3": MeanPool,
}


class Source:
    """All that leaves one source. x: [N, C, H, W]."""

    def __init__(self, run: Pass, source: int, x: Tensor, named: Mapping[tuple[int, str], Named]) -> None:
        self.source, self.groups = source, run.plan.groups[source]
        self.first, self.final = run.plan.rows[source]
        self.read = Input(x, 2 if run.plan.halves(source) else 1)
        self.weights = {g: named.get((source, g.operation), {}) for g in self.groups}
        if source in run.masks:
            self.weights |= {g: {"mask": run.masks[source]} for g in self.groups if run.plan.identity(g)}
        self.paths = {g: self._path(run.plan, g) for g in self.groups if g not in self.first}

    def _path(self, plan: Plan, group: Group) -> Any:
        if group.operation == "skip_connect":
            return Identity if plan.identity(group) else Halve
        return _PATHS[group.operation]

    def forward(self, rows: Rows, kept: Kept, train: bool) -> Maps:
        """What is to be normed, scaled and added, for each group. `kept` is filled; `train`: weights will want gradients."""
        halfway: Maps = {}
        for g in self.first:
            w = self.weights[g]
            z, halfway[g] = stage(self.read.spread(len(g.nodes)), w["depthwise_1"], w["pointwise_1"], self.read.step, 1)
            if train:
                kept[g, "z_1"] = z
        second = self.weights
        if self.first:
            mean, kept[self.source, "rstd_1"] = rows.forward(halfway)
            rows.center_(halfway, mean)
            second = self._second(kept[self.source, "rstd_1"])
        y: Maps = {}
        for g in self.groups:
            if g in self.paths:
                y[g], named = self.paths[g].forward(g, self.read, self.weights[g], train)
            else:
                kept[g, "half"] = half = halfway.pop(g)
                z, y[g] = stage(half.relu(), second[g]["depthwise_2"], second[g]["pointwise_2"], 1, 1)
                named = {"y": y[g], "z_2": z} if train else {"y": y[g]}
            kept |= {(g, name): t for name, t in named.items()}
        if self.final:
            kept[self.source, "mean"], kept[self.source, "rstd"] = rows.forward({g: y[g] for g in self.final})
        return y

    def _second(self, rstd: Tensor) -> dict[Group, Named]:
        """Weights of second stages that read maps which were centred but not scaled: 1/σ > 0 passes the ReLU and is a factor of theirs."""
        scales = per_group(rstd, self.first)
        return {
            g: {"depthwise_2": self.weights[g]["depthwise_2"] * s.view(-1, 1, 1, 1), "pointwise_2": self.weights[g]["pointwise_2"]}
            for g, s in zip(self.first, scales, strict=True)
        }

    def backward(
        self, rows: Rows, own: Mapping[Any, Named], gs: Maps, factor: Tensor, g_weights: Kept, want_x: bool, train: bool
    ) -> tuple[Tensor | None, Tensor]:
        """Gradients of x and of the coefficients; those of weights are added to `g_weights`. gs: of the nodes each group feeds."""
        terms = {g: self.paths[g].term(g, self.read, own.get(g, {})) if g in self.paths else own[g]["y"] for g in self.groups}
        moments = (own[self.source]["mean"], own[self.source]["rstd"]) if self.final else None
        g_factor, g_y = rows.last_backward(gs, terms, len(self.final), moments, factor, want_x or train)
        if not (want_x or train):
            return None, g_factor
        for g, path in self.paths.items():
            found = path.backward(g, g_y.pop(g), self.read, self.weights[g], own.get(g, {}), want_x)
            g_weights |= {((self.source, g.operation), name): t for name, t in found.items()}
        if self.first:
            self._separable(rows, own, g_y, g_weights, want_x, train)
        return self.read.gradient() if want_x else None, g_factor

    def _separable(self, rows: Rows, own: Mapping[Any, Named], g_y: Maps, g_weights: Kept, want_x: bool, train: bool) -> None:
        """The two stages of separable convolutions."""
        rstd = own[self.source]["rstd_1"]
        second, scales = self._second(rstd), per_group(rstd, self.first)
        halves = {g: own[g]["half"] for g in self.first}
        g_halves: Maps = {}
        for g, scale in zip(self.first, scales, strict=True):
            w, half = second[g], halves[g]
            u, size = half.relu() if train else None, (half.shape[2], half.shape[3])
            g_u, g_depth, g_point = stage_backward(g_y.pop(g), own[g].get("z_2"), u, size, w["depthwise_2"], w["pointwise_2"], 1, 1, True)
            g_halves[g] = torch.ops.aten.threshold_backward(g_u, half, 0)
            if g_depth is not None and g_point is not None:
                key = self.source, g.operation
                g_weights[key, "depthwise_2"], g_weights[key, "pointwise_2"] = g_depth.mul_(scale.view(-1, 1, 1, 1)), g_point
        g_halves = rows.first_backward(g_halves, halves, rstd)
        for g in self.first:
            w, k, z = self.weights[g], len(g.nodes), own[g].get("z_1")
            x, step = None if z is None else self.read.spread(k), self.read.step
            g_x, g_depth, g_point = stage_backward(
                g_halves.pop(g), z, x, self.read.size, w["depthwise_1"], w["pointwise_1"], step, 1, want_x
            )
            if g_depth is not None and g_point is not None:
                key = self.source, g.operation
                g_weights[key, "depthwise_1"], g_weights[key, "pointwise_1"] = g_depth, g_point
            if g_x is not None:
                self.read.add_spread(g_x, k)
