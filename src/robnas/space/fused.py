"""A cell of the supernet with a backward pass written by hand: the mathematics of `plain.py`, several times as fast.

What is gained, and how:

- all edges that leave a source and carry the same operation are one kernel, their maps side by side as channels (channels_last);
- one addition for each operation takes its whole output, scaled by its coefficient and the norm at once, into the nodes it feeds: the
  last norm is never written down, and its shift is added once for each node;
- the backward pass of that norm shares Σg among all operations, and gives the coefficients' gradients on the way;
- ReLU, first norms and copies for several edges are computed again instead of kept; weights that need no gradient keep no inputs;
- pointwise convolutions are batched matrix products, depthwise ones as in `depthwise.py`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from robnas.space import plain
from robnas.space.depthwise import channels_last
from robnas.space.fused_norm import Maps, Rows, per_group
from robnas.space.fused_paths import Dilated, Halve, Identity, Input, MaxPool, MeanPool, Named, Wide, runs, stage, stage_backward
from robnas.space.plain import Pass
from robnas.space.plan import DILATED, Group, Plan

_PATHS: dict[str, Any] = {
    **dict.fromkeys(DILATED, Dilated),
    "conv_7x1_1x7": Wide,
    "max_pool_3x3": MaxPool,
    "avg_pool_3x3": MeanPool,
}


def suits(x: Tensor) -> bool:
    """Whether inputs such as x are computed here: in full precision. Under autocast the plain path lets torch choose that of each step."""
    return x.dtype in (torch.float32, torch.float64) and not torch.is_autocast_enabled(x.device.type)


def cell(run: Pass, inputs: tuple[Tensor, Tensor], coefficients: Tensor, weights: Sequence[Tensor]) -> Tensor:
    """As `plain.cell`."""
    out: Tensor = _Cell.apply(run, *map(channels_last, inputs), coefficients, *weights)
    return out


class _Cell(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, run: Pass, before: Tensor, last: Tensor, coefficients: Tensor, *weights: Tensor) -> Tensor:
        plan, named = run.plan, _named(run, weights)
        n, c, h, w = before.shape
        h, w = ((h + 1) // 2, (w + 1) // 2) if plan.reduction else (h, w)
        rows = Rows(run, n * h * w)
        nodes = before.new_zeros(n, h, w, plan.space.nodes * c).permute(0, 3, 1, 2)  # node i in channels (i-2)·C to (i-1)·C
        shift = before.new_zeros(plan.space.nodes, c)  # what is still to be added to each
        kept: dict[Any, Tensor] = {}
        for (source, groups), factor in zip(plan.groups.items(), torch.split(coefficients, _sizes(plan)), strict=True):
            x = (before, last)[source] if source < 2 else nodes[:, _channels(source, c)] + shift[source - 2].view(1, c, 1, 1)
            kept[source] = x
            y = _Source(run, source, x, named).forward(rows, kept, train=any(ctx.needs_input_grad[4:]))
            final = plan.rows[source][1]
            k = sum(len(g.nodes) for g in final)
            scale = factor[:, None].expand(-1, c)
            if final:
                mean, rstd = kept[source, "mean"], kept[source, "rstd"]
                scale = torch.cat((rstd * scale[:k], scale[k:])) if k < len(factor) else rstd * scale
                to = plan.index(f"nodes {source}", [n - 2 for g in final for n in g.nodes], x.device)
                shift.index_add_(0, to, mean * scale[:k], alpha=-1)
            for (g, term), s in zip(y.items(), per_group(scale, groups), strict=True):
                for here, among in runs(g, c):
                    nodes[:, here].addcmul_(term[:, among], s[:, among])
        rows.move()
        nodes.add_(shift.view(1, -1, 1, 1))
        ctx.run, ctx.keys, ctx.n = run, list(kept), n * h * w
        ctx.save_for_backward(before, last, coefficients, *weights, *kept.values())
        if plan.outputs == tuple(range(2, 2 + plan.space.nodes)):
            return nodes
        return torch.cat([nodes[:, _channels(node, c)] for node in plan.outputs], 1)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        run, plan, saved, border = ctx.run, ctx.run.plan, ctx.saved_tensors, 3 + len(ctx.run.keys)
        if torch.is_grad_enabled():  # what this pass computes shall be differentiated
            return _differentiable(ctx, grads[0], saved[:border])
        (before, _, coefficients), weights = saved[:3], saved[3:border]
        kept, named = dict(zip(ctx.keys, saved[border:], strict=True)), _named(run, weights)
        c, rows = before.shape[1], Rows(run, ctx.n)
        g_nodes = _of_nodes(grads[0], plan, c)
        g_inputs: dict[int, Tensor] = {}
        g_weights: dict[tuple[int, str, str], Tensor] = {}
        g_factors: list[Tensor] = []
        for (source, groups), factor in reversed(list(zip(plan.groups.items(), torch.split(coefficients, _sizes(plan)), strict=True))):
            read = _Source(run, source, kept[source], named)
            gs: Maps = {}
            for g in groups:
                same = next((other for other in gs if other.nodes == g.nodes), None)
                parts = [g_nodes[:, here] for here, _ in runs(g, c)]
                gs[g] = gs[same] if same else channels_last(torch.cat(parts, 1) if len(parts) > 1 else parts[0])
            want_x = source >= 2 or ctx.needs_input_grad[1 + source]
            g_x, g_factor = read.backward(rows, kept, gs, factor, g_weights, want_x, any(ctx.needs_input_grad[4:]))
            g_factors.append(g_factor)
            if g_x is not None and source >= 2:
                g_nodes[:, _channels(source, c)].add_(g_x)
            elif g_x is not None:
                g_inputs[source] = g_x
        g_coefficients = torch.cat(g_factors[::-1]) if g_factors else torch.zeros_like(coefficients)
        return None, g_inputs.get(0), g_inputs.get(1), g_coefficients, *(g_weights.get(key) for key in run.keys)


class _Source:
    """All that leaves one source. x: [N, C, H, W]."""

    def __init__(self, run: Pass, source: int, x: Tensor, named: Mapping[tuple[int, str], Named]) -> None:
        self.source, self.groups = source, run.plan.groups[source]
        self.first, self.final = run.plan.rows[source]
        self.read = Input(x, 2 if run.plan.halves(source) else 1)
        self.weights = {g: named.get((source, g.operation), {}) for g in self.groups}
        self.paths = {g: self._path(run.plan, g) for g in self.groups if g not in self.first}

    def _path(self, plan: Plan, group: Group) -> Any:
        if group.operation == "skip_connect":
            return Identity if plan.identity(group) else Halve
        return _PATHS[group.operation]

    def forward(self, rows: Rows, kept: dict[Any, Tensor], train: bool) -> Maps:
        """What is to be normed, scaled and added, for each group. `kept` is filled; `train`: weights will want gradients."""
        halfway: Maps = {}
        for g in self.first:
            w = self.weights[g]
            z, halfway[g] = stage(self.read.spread(len(g.nodes)), w["depthwise_1"], w["pointwise_1"], self.read.step, 1)
            kept[g, "half"] = halfway[g]
            if train:
                kept[g, "z_1"] = z
        if self.first:
            kept[self.source, "mean_1"], kept[self.source, "rstd_1"] = moments = rows.forward(halfway)
            halfway = rows.relu(halfway, *moments)
        y: Maps = {}
        for g in self.groups:
            if g in self.paths:
                y[g], named = self.paths[g].forward(g, self.read, self.weights[g], train)
                kept |= {(g, name): t for name, t in named.items()}
            else:
                z, y[g] = stage(halfway.pop(g), self.weights[g]["depthwise_2"], self.weights[g]["pointwise_2"], 1, 1)
                kept[g, "y"] = y[g]
                if train:
                    kept[g, "z_2"] = z
        if self.final:
            kept[self.source, "mean"], kept[self.source, "rstd"] = rows.forward({g: y[g] for g in self.final})
        return y

    def backward(
        self,
        rows: Rows,
        kept: dict[Any, Tensor],
        gs: Maps,
        factor: Tensor,
        g_weights: dict[tuple[int, str, str], Tensor],
        want_x: bool,
        train: bool,
    ) -> tuple[Tensor | None, Tensor]:
        """Gradients of x and of the coefficients; those of weights are added to `g_weights`. gs: of the nodes each group feeds."""
        own = {g: {key[1]: t for key, t in kept.items() if isinstance(key, tuple) and key[0] is g} for g in self.groups}
        terms = {g: self.paths[g].term(g, self.read, own[g]) if g in self.paths else own[g]["y"] for g in self.groups}
        moments = (kept[self.source, "mean"], kept[self.source, "rstd"]) if self.final else None
        g_factor, g_y = rows.last_backward(gs, terms, len(self.final), moments, factor, want_x or train)
        if not (want_x or train):
            return None, g_factor
        for g, path in self.paths.items():
            found = path.backward(g, g_y.pop(g), self.read, self.weights[g], own[g], want_x)
            g_weights |= {(self.source, g.operation, name): t for name, t in found.items()}
        if self.first:
            self._separable(rows, kept, own, g_y, g_weights, want_x)
        return self.read.gradient() if want_x else None, g_factor

    def _separable(
        self,
        rows: Rows,
        kept: dict[Any, Tensor],
        own: Mapping[Group, Named],
        g_y: Maps,
        g_weights: dict[tuple[int, str, str], Tensor],
        want_x: bool,
    ) -> None:
        """The two stages of separable convolutions."""
        mean, rstd = kept[self.source, "mean_1"], kept[self.source, "rstd_1"]
        halves = {g: own[g]["half"] for g in self.first}
        middle, g_middle = rows.relu(halves, mean, rstd), {}
        for g in self.first:
            w, u = self.weights[g], middle[g]
            size = (u.shape[2], u.shape[3])
            back = stage_backward(g_y.pop(g), own[g].get("z_2"), u, size, w["depthwise_2"], w["pointwise_2"], 1, 1, True)
            g_middle[g] = self._keep(back, g, 2, g_weights)
        g_halves = rows.first_backward(g_middle, middle, halves, mean, rstd)
        for g in self.first:
            w, k, z = self.weights[g], len(g.nodes), own[g].get("z_1")
            x = None if z is None else self.read.spread(k)
            back = stage_backward(g_halves.pop(g), z, x, self.read.size, w["depthwise_1"], w["pointwise_1"], self.read.step, 1, want_x)
            g_x = self._keep(back, g, 1, g_weights)
            if g_x is not None:
                self.read.add_spread(g_x, k)

    def _keep(self, back: tuple[Any, Any, Any], group: Group, number: int, g_weights: dict[tuple[int, str, str], Tensor]) -> Any:
        g_x, g_depth, g_point = back
        if g_depth is not None:
            g_weights[self.source, group.operation, f"depthwise_{number}"] = g_depth
            g_weights[self.source, group.operation, f"pointwise_{number}"] = g_point
        return g_x


def _differentiable(ctx: Any, g: Tensor, inputs: tuple[Tensor, ...]) -> tuple[Tensor | None, ...]:
    """The gradients from the plain path, as functions of the inputs and of g that can be differentiated again."""
    needed = ctx.needs_input_grad[1:]
    out = plain.cell(ctx.run._replace(moving=False), (inputs[0], inputs[1]), inputs[2], inputs[3:])
    wanted = [t for t, n in zip(inputs, needed, strict=True) if n]
    found = iter(torch.autograd.grad(out, wanted, g, create_graph=True, allow_unused=True))
    return None, *(next(found) if n else None for n in needed)


def _named(run: Pass, weights: Sequence[Tensor]) -> dict[tuple[int, str], dict[str, Tensor]]:
    """Weights by (source, operation) and name."""
    named: dict[tuple[int, str], dict[str, Tensor]] = {}
    for (source, operation, name), weight in zip(run.keys, weights, strict=True):
        named.setdefault((source, operation), {})[name] = weight
    return named


def _sizes(plan: Plan) -> list[int]:
    """Coefficients of each source."""
    return [sum(len(g.nodes) for g in groups) for groups in plan.groups.values()]


def _channels(node: int, c: int) -> slice:
    return slice((node - 2) * c, (node - 1) * c)


def _of_nodes(g: Tensor, plan: Plan, c: int) -> Tensor:
    """The output's gradient as that of all nodes, in memory of our own."""
    if plan.outputs == tuple(range(2, 2 + plan.space.nodes)):
        return g.clone(memory_format=torch.channels_last)
    n, _, h, w = g.shape
    g_nodes = g.new_zeros(n, h, w, plan.space.nodes * c).permute(0, 3, 1, 2)
    for part, node in zip(torch.split(g, c, 1), plan.outputs, strict=True):
        g_nodes[:, _channels(node, c)].add_(part)
    return g_nodes
