"""A cell of the supernet with a backward pass written by hand: the mathematics of `plain.py`, several times as fast.

What is gained, and how:

- all edges that leave a source and carry the same operation are one kernel, their maps side by side as channels (channels_last);
- one addition for each operation takes its whole output, scaled by its coefficient and the norm at once, into the nodes it feeds: the
  last norm is never written down, and its shift is added once for each node;
- the backward pass of that norm shares Σg among all operations, and gives the coefficients' gradients on the way;
- the first norm's mean is taken off in place and its scale goes into the next weights; ReLU and copies for several edges are computed
  again instead of kept; weights that need no gradient keep no inputs;
- pointwise convolutions are batched matrix products, depthwise ones as in `depthwise.py`.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from robnas.space import fused_bypass as bypass
from robnas.space import plain
from robnas.space.depthwise import channels_last
from robnas.space.fused_bypass import Nodes
from robnas.space.fused_input import runs, spread
from robnas.space.fused_norm import Maps, Rows, per_group
from robnas.space.fused_source import Kept, Source
from robnas.space.partial import join
from robnas.space.plain import Pass
from robnas.space.plan import Group, Plan


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
        plan, named = run.plan, _by_owner(run.keys, weights)
        nodes = Nodes(plan, before)
        c, (n, _, h, w) = nodes.c, nodes.mixed.shape
        rows = Rows(run, n * h * w)
        shift = before.new_zeros(plan.space.nodes, c)  # what is still to be added to each
        kept: Kept = {}
        for source, factor, past in _by_source(plan, coefficients):
            if source < 2:
                whole = (before, last)[source]
            else:
                mixed, passed = nodes.of(source)
                whole = join(mixed + shift[source - 2].view(1, c, 1, 1), passed)
            if plan.bypass[source]:
                kept |= {((source, "bypass"), name): t for name, t in bypass.forward(nodes, source, whole, past).items()}
            if not (groups := plan.groups[source]):
                continue
            kept[source, "x"] = x = channels_last(whole[:, :c])
            y = Source(run, source, x, named).forward(rows, kept, train=any(ctx.needs_input_grad[4:]))
            final = plan.rows[source][1]
            k = sum(len(g.nodes) for g in final)
            scale = factor[:, None].expand(-1, c)
            if final:
                mean, rstd = kept[source, "mean"], kept[source, "rstd"]
                scale = torch.cat((rstd * scale[:k], scale[k:])) if k < len(factor) else rstd * scale
                to = plan.index(f"nodes {source}", [n - 2 for g in final for n in g.nodes], x.device)
                shift.index_add_(0, to, mean * scale[:k], alpha=-1)
            for (g, term), s in zip(y.items(), per_group(scale, groups), strict=True):
                wide = spread(term, s.shape[1] // term.shape[1])
                for here, among in runs(g, c):
                    part = (wide, s) if among == slice(0, s.shape[1]) else (wide[:, among], s[:, among])
                    nodes.mixed[:, here].addcmul_(*part)
        rows.move()
        nodes.mixed.add_(shift.view(1, -1, 1, 1))
        ctx.run, ctx.keys, ctx.n = run, list(kept), n * h * w
        ctx.save_for_backward(before, last, coefficients, *weights, *kept.values())
        return nodes.output()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        run, plan, saved, border = ctx.run, ctx.run.plan, ctx.saved_tensors, 3 + len(ctx.run.keys)
        if torch.is_grad_enabled():  # what this pass computes shall be differentiated
            return _differentiable(ctx, grads[0], saved[:border])
        (before, _, coefficients), weights = saved[:3], saved[3:border]
        named, own = _by_owner(run.keys, weights), _by_owner(ctx.keys, saved[border:])
        nodes, rows = Nodes.gradient(plan, before, grads[0]), Rows(run, ctx.n)
        g_inputs: dict[int, Tensor] = {}
        g_weights: Kept = {}
        g_factors: list[Tensor] = []
        g_past: list[Tensor] = []
        for source, factor, past in reversed(_by_source(plan, coefficients)):
            g_x = None
            want_x = source >= 2 or ctx.needs_input_grad[1 + source]
            if plan.groups[source]:
                read = Source(run, source, own[source]["x"], named)
                gs = _gradients(nodes, plan.groups[source])
                g_x, g_factor = read.backward(rows, own, gs, factor, g_weights, want_x, any(ctx.needs_input_grad[4:]))
                g_factors.append(g_factor)
            if plan.bypass[source]:
                g_rest, g_b = bypass.backward(nodes, source, own[source, "bypass"], past)
                g_past.append(g_b)
                g_x = torch.cat((g_rest.new_zeros(len(g_rest), nodes.c, *g_rest.shape[2:]) if g_x is None else g_x, g_rest), 1)
            if g_x is not None and source >= 2:
                nodes.add(source, g_x)
            elif g_x is not None and want_x:
                g_inputs[source] = g_x
        found = g_factors[::-1] + g_past[::-1]
        g_coefficients = torch.cat(found) if found else torch.zeros_like(coefficients)
        return None, g_inputs.get(0), g_inputs.get(1), g_coefficients, *(g_weights.get(key) for key in run.keys)


def _gradients(nodes: Nodes, groups: Sequence[Group]) -> Maps:
    """Of the nodes that each group feeds; groups that feed the same ones share it."""
    shared: dict[tuple[int, ...], Tensor] = {}
    for g in groups:
        if g.nodes not in shared:
            parts = [nodes.mixed[:, here] for here, _ in runs(g, nodes.c)]
            shared[g.nodes] = channels_last(torch.cat(parts, 1) if len(parts) > 1 else parts[0])
    return {g: shared[g.nodes] for g in groups}


def _differentiable(ctx: Any, g: Tensor, inputs: tuple[Tensor, ...]) -> tuple[Tensor | None, ...]:
    """The gradients from the plain path, as functions of the inputs and of g that can be differentiated again."""
    needed = ctx.needs_input_grad[1:]
    inputs = tuple(t.view_as(t) for t in inputs)  # a cell's input may itself depend on the coefficients: that is not for this cell to say
    out = plain.cell(ctx.run._replace(moving=False), (inputs[0], inputs[1]), inputs[2], inputs[3:])
    wanted = [t for t, n in zip(inputs, needed, strict=True) if n]
    found = iter(torch.autograd.grad(out, wanted, g, create_graph=True, allow_unused=True))
    return None, *(next(found) if n else None for n in needed)


def _by_owner(keys: Sequence[tuple[Any, str]], tensors: Sequence[Tensor]) -> dict[Any, dict[str, Tensor]]:
    """By the first half of their keys, and then by the second."""
    owned: dict[Any, dict[str, Tensor]] = {}
    for (owner, name), t in zip(keys, tensors, strict=True):
        owned.setdefault(owner, {})[name] = t
    return owned


def _by_source(plan: Plan, coefficients: Tensor) -> list[tuple[int, Tensor, Tensor]]:
    """(source, coefficients of its groups, of what bypasses them)."""
    sizes = [sum(len(g.nodes) for g in groups) for groups in plan.groups.values()] + [len(nodes) for nodes in plan.bypass.values()]
    parts = torch.split(coefficients, sizes)
    return [(source, parts[i], parts[len(plan.groups) + i]) for i, source in enumerate(plan.groups)]
