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
    """

    def __init__(self, plan: Plan, like: Tensor) -> None:
        n, self.channels, h, w = like.shape
        h, w = ((h + 1) // 2, (w + 1) // 2) if plan.reduction else (h, w)
        self.plan, self.c = plan, self.channels // plan.partial
        self.every = tuple(range(2, 2 + plan.space.nodes))
        mixed, passed = (like.new_zeros(n, h, w, len(self.every) * k) for k in (self.c, self.channels - self.c))
        self.mixed, self.passed = mixed.permute(0, 3, 1, 2), passed.permute(0, 3, 1, 2)

    def of(self, node: int) -> tuple[Tensor, Tensor]:
        """Both parts of a node, as views."""
        i, c, rest = node - 2, self.c, self.channels - self.c
        return self.mixed[:, i * c : (i + 1) * c], self.passed[:, i * rest : (i + 1) * rest]

    def output(self) -> Tensor:
        """What the cell concatenates: nodes that do not count are zero. Ours to change."""
        plan = self.plan
        for node in set(self.every) - plan.counted:
            for part in self.of(node):
                part.zero_()
        if plan.partial == 1 and plan.outputs == self.every:
            return self.mixed
        return torch.cat([join(*self.of(node)) for node in plan.outputs], 1)

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
        nodes = cls(plan, like)
        for part, node in zip(torch.split(g, nodes.channels, 1), plan.outputs, strict=True):
            if node in plan.counted:
                nodes.add(node, part)
        return nodes


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
