"""What operations read from a source, and what flows back into it; and how maps of several edges lie beside each other."""

from collections.abc import Iterator
from functools import cached_property

import torch
from torch import Tensor

from robnas.space.depthwise import channels_last
from robnas.space.plan import Group


class Input:
    """What the operations read from one source, computed once for all of them, and what flows back into it.

    Args:
        x: [N, C, H, W], channels_last.
        step: stride of the operations that read it.
    """

    def __init__(self, x: Tensor, step: int) -> None:
        self.x, self.step = x, step
        self.size: tuple[int, int] = (x.shape[2], x.shape[3])
        self._spread: dict[tuple[int, bool], Tensor] = {}
        self._from_spread: dict[tuple[int, bool], Tensor] = {}
        self._from_r: Tensor | None = None
        self._from_x: Tensor | None = None

    @cached_property
    def r(self) -> Tensor:
        """ReLU(x)."""
        return self.x.relu()

    def spread(self, k: int, even: bool = False) -> Tensor:
        """ReLU(x), or its pixels on even rows and columns, once for each of k edges: [N, K·C, ·, ·]."""
        if (k, even) not in self._spread:
            self._spread[k, even] = spread(channels_last(self.r[:, :, ::2, ::2]) if even else self.r, k)
        return self._spread[k, even]

    def add_spread(self, g: Tensor, k: int, even: bool = False) -> None:
        """g: gradient of `spread(k, even)`; ours from now on."""
        if (k, even) in self._from_spread:
            self._from_spread[k, even].add_(g)
        else:
            self._from_spread[k, even] = g

    def add_r(self, g: Tensor) -> None:
        """g: gradient of ReLU(x); ours from now on."""
        self._from_r = g if self._from_r is None else self._from_r.add_(g)

    def add_x(self, g: Tensor) -> None:
        """g: gradient of x itself; ours from now on."""
        self._from_x = g if self._from_x is None else self._from_x.add_(g)

    def gradient(self) -> Tensor:
        """∂/∂x of all that was added."""
        for (k, even), g in self._from_spread.items():
            if even:
                self.add_r(on_even(gather(g, k), self.size))
            else:
                self.add_r(gather(g, k))
        if self._from_r is not None:
            self.add_x(torch.ops.aten.threshold_backward(self._from_r, self.x, 0))
        return torch.zeros_like(self.x) if self._from_x is None else self._from_x


def spread(x: Tensor, k: int) -> Tensor:
    """One copy for each of k edges. x: [N, C, H, W] → [N, K·C, H, W]."""
    return channels_last(torch.cat([x] * k, 1)) if k > 1 else x  # of maps of one channel, torch says either layout


def gather(g: Tensor, k: int) -> Tensor:
    """Σ over edges, the gradient of `spread`. g: [N, K·C, H, W] → [N, C, H, W]."""
    if k == 1:
        return g
    first, *rest = torch.split(g, g.shape[1] // k, 1)
    total = first + rest[0]
    for part in rest[1:]:
        total.add_(part)
    return total


def runs(group: Group, c: int) -> Iterator[tuple[slice, slice]]:
    """Channels of neighbouring nodes among those of all nodes, and among the group's own."""
    start = 0
    for i, node in enumerate(group.nodes):
        if i + 1 == len(group.nodes) or group.nodes[i + 1] != node + 1:
            yield slice((group.nodes[start] - 2) * c, (node - 1) * c), slice(start * c, (i + 1) * c)
            start = i + 1


def on_even(g: Tensor, size: tuple[int, int]) -> Tensor:
    """g on the even rows and columns of zeros. g: [N, C, ⌈H/2⌉, ⌈W/2⌉] → [N, C, *size]."""
    shape = (g.shape[0], *size, g.shape[1])
    out = g.new_zeros(shape).permute(0, 3, 1, 2)
    out[:, :, ::2, ::2].copy_(g)
    return out
