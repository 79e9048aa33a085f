"""The channels that pass by the operations of a cell (`partial.py`), forward and backward. Where K = 1 there are none."""

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from robnas.space.depthwise import channels_last
from robnas.space.partial import join, shuffle
from robnas.space.plan import Plan


class Nodes:
    """All nodes of a cell, or their gradients: what is mixed [N, nodes·C/K, H, W], and what passed by [N, nodes·(C − C/K), H, W].

    Args:
        plan: of the cell.
        like: an input, [N, C, ·, ·].
        mixed: what is mixed, if it is there already.
    """

    def __init__(self, plan: Plan, like: Tensor, mixed: Tensor | None = None) -> None:
        n, self.channels, h, w = like.shape
        h, w = ((h + 1) // 2, (w + 1) // 2) if plan.reduction else (h, w)
        self.plan, self.c, every = plan, self.channels // plan.partial, plan.space.nodes
        self.mixed = like.new_zeros(n, h, w, every * self.c).permute(0, 3, 1, 2) if mixed is None else mixed
        self.passed = like.new_zeros(n, h, w, every * (self.channels - self.c)).permute(0, 3, 1, 2)

    def of(self, node: int) -> tuple[Tensor, Tensor]:
        """Both parts of a node, as views."""
        i, c, rest = node - 2, self.c, self.channels - self.c
        return self.mixed[:, i * c : (i + 1) * c], self.passed[:, i * rest : (i + 1) * rest] if rest else self.passed

    def output(self) -> Tensor:
        """What the cell concatenates: nodes that do not count are zero. Ours to change."""
        self._clear()
        return self.mixed if _as_they_are(self.plan) else torch.cat([join(*self.of(node)) for node in self.plan.outputs], 1)

    def _clear(self) -> None:
        for node in range(2, 2 + self.plan.space.nodes):
            if node not in self.plan.counted:
                for part in self.of(node):
                    part.zero_()

    def add(self, node: int, g: Tensor) -> None:
        """g: gradient of a whole node, [N, C, H, W]."""
        mixed, passed = self.of(node)
        if self.plan.partial == 1:
            mixed.add_(g)
        else:
            g = shuffle(g, self.c)  # the inverse
            mixed.add_(g[:, : self.c])
            passed.add_(g[:, self.c :])

    @classmethod
    def gradient(cls, plan: Plan, like: Tensor, g: Tensor) -> "Nodes":
        """From the gradient of `output`, in memory of our own."""
        if _as_they_are(plan):
            nodes = cls(plan, like, g.clone(memory_format=torch.channels_last))
        else:
            nodes = cls(plan, like)
            for part, node in zip(torch.split(g, nodes.channels, 1), plan.outputs, strict=True):
                nodes.add(node, part)
        nodes._clear()
        return nodes


def _as_they_are(plan: Plan) -> bool:
    """Whether the output is what is mixed, node by node."""
    return plan.partial == 1 and plan.outputs == tuple(range(2, 2 + plan.space.nodes))


def forward(nodes: Nodes, source: int, whole: Tensor, factor: Tensor) -> Mapping[str, Tensor]:
    """Adds what passes from a source into nodes. whole: [N, C, H, W] → what `backward` needs."""
    kept = {"rest": whole[:, nodes.c :]}
    if nodes.plan.halves(source):
        kept["full"] = kept["rest"]
        kept["rest"], kept["places"] = F.max_pool2d_with_indices(kept["full"], (2, 2), ceil_mode=True)
    for node, b in zip(nodes.plan.bypass[source], factor, strict=True):
        nodes.of(node)[1].addcmul_(kept["rest"], b)
    return kept


def backward(nodes: Nodes, source: int, kept: Mapping[str, Tensor], factor: Tensor) -> tuple[Tensor, Tensor]:
    """nodes: gradients. → gradients of what passed from the source, [N, C − C/K, H, W], and of factor."""
    gs = [nodes.of(node)[1] for node in nodes.plan.bypass[source]]
    rest = kept["rest"]
    g_factor = torch.stack([(g * rest).sum() for g in gs])
    g_rest = torch.zeros_like(gs[0])
    for g, b in zip(gs, factor, strict=True):
        g_rest.addcmul_(g, b)
    if nodes.plan.halves(source):
        back = torch.ops.aten.max_pool2d_with_indices_backward
        g_rest = channels_last(back(g_rest, kept["full"], (2, 2), (2, 2), (0, 0), (1, 1), True, kept["places"]))
    return g_rest, g_factor
