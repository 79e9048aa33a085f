"""Each operation up to its last norm, forward and backward, for all the edges that leave a source."""

from collections.abc import Iterator, Mapping
from functools import cached_property

import torch
from torch import Tensor
from torch.nn import functional as F

from robnas.space import depthwise
from robnas.space.depthwise import channels_last
from robnas.space.plain import both_grids
from robnas.space.plan import Group

Named = Mapping[str, Tensor]
"""Weights of one group, or what its forward pass keeps, or the gradients of its weights, by name."""

_native = torch.ops.aten.convolution_backward


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
                self.add_r(_on_even(gather(g, k), self.size))
            else:
                self.add_r(gather(g, k))
        if self._from_r is not None:
            self.add_x(torch.ops.aten.threshold_backward(self._from_r, self.x, 0))
        return torch.zeros_like(self.x) if self._from_x is None else self._from_x


def spread(x: Tensor, k: int) -> Tensor:
    """One copy for each of k edges. x: [N, C, H, W] → [N, K·C, H, W]."""
    return torch.cat([x] * k, 1) if k > 1 else x


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


# Depthwise and pointwise convolution


def stage(x: Tensor, depth: Tensor, point: Tensor, step: int, dilation: int) -> tuple[Tensor, Tensor]:
    """x: [N, K·C, H, W], depth: [K·C, 1, k, k], point: [K, C, C] → behind the depthwise convolution, behind both."""
    z = depthwise.depthwise(x, depth, step, dilation)
    y = torch.empty_like(z)
    torch.bmm(_by_edge(z, len(point)), point.mT, out=_by_edge(y, len(point)))
    return z, y


def stage_backward(
    g: Tensor,
    z: Tensor | None,
    x: Tensor | None,
    size: tuple[int, int],
    depth: Tensor,
    point: Tensor,
    step: int,
    dilation: int,
    want_x: bool,
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """Gradients of x: [N, K·C, *size] and, where z and x are given, of depth and point. g: of `stage`'s second result."""
    k = len(point)
    by_edge = _by_edge(g, k)
    g_z = torch.empty_like(g)
    torch.bmm(by_edge, point, out=_by_edge(g_z, k))
    g_x = depthwise.input_gradient(g_z, size, depth, step, dilation) if want_x else None
    if z is None or x is None:
        return g_x, None, None
    return g_x, depthwise.weight_gradient(g_z, x, depth, step, dilation), torch.bmm(by_edge.mT, _by_edge(z, k))


def _by_edge(x: Tensor, k: int) -> Tensor:
    """[N, K·C, H, W] → a view [K, N·H·W, C]."""
    n, kc, h, w = x.shape
    return x.as_strided((k, n * h * w, kc // k), (kc // k, kc, 1))


# One class for each kind of operation, without state:
# forward  → the map y: [N, K·C, H′, W′] to be normed, and what `term` and `backward` need of it; `train`: w will want gradients;
# term     → y once more, in the backward pass;
# backward → gradients of w, if they were wanted; where `want_x`, the gradient of what was read is added to `read`. g: gradient of y.


class Dilated:
    """ReLU, dilated depthwise, pointwise. With stride 2 it reads even rows and columns alone, and is a plain convolution on them."""

    @staticmethod
    def forward(group: Group, read: Input, w: Named, train: bool) -> tuple[Tensor, Named]:
        """→ y, kept."""
        even = read.step == 2
        x = read.spread(len(group.nodes), even)
        z, y = stage(x, w["depthwise_1"], w["pointwise_1"], 1, 1 if even else 2)
        return y, {"y": y, "z": z} if train else {"y": y}

    @staticmethod
    def term(group: Group, read: Input, kept: Named) -> Tensor:
        """→ y."""
        return kept["y"]

    @staticmethod
    def backward(group: Group, g: Tensor, read: Input, w: Named, kept: Named, want_x: bool) -> Named:
        """→ gradients of w."""
        even, k = read.step == 2, len(group.nodes)
        z, size = kept.get("z"), (g.shape[2], g.shape[3])
        x = None if z is None else read.spread(k, even)
        g_x, g_depth, g_point = stage_backward(g, z, x, size, w["depthwise_1"], w["pointwise_1"], 1, 1 if even else 2, want_x)
        if g_x is not None:
            read.add_spread(g_x, k, even)
        return {} if g_depth is None or g_point is None else {"depthwise_1": g_depth, "pointwise_1": g_point}


class Wide:
    """ReLU, 1×7, 7×1."""

    @staticmethod
    def forward(group: Group, read: Input, w: Named, train: bool) -> tuple[Tensor, Named]:
        """→ y, kept."""
        s = read.step
        middle = channels_last(F.conv2d(read.r, w["wide"], None, (1, s), (0, 3)))
        y = channels_last(F.conv2d(middle, w["tall"], None, (s, 1), (3, 0), groups=len(group.nodes)))
        return y, {"y": y, "middle": middle} if train else {"y": y}

    @staticmethod
    def term(group: Group, read: Input, kept: Named) -> Tensor:
        """→ y."""
        return kept["y"]

    @staticmethod
    def backward(group: Group, g: Tensor, read: Input, w: Named, kept: Named, want_x: bool) -> Named:
        """→ gradients of w."""
        s, k, train = read.step, len(group.nodes), "middle" in kept
        shape = (*g.shape[:2], read.size[0], g.shape[3])
        stand_in = g if s == 1 else torch.empty(shape, dtype=g.dtype, device=g.device, memory_format=torch.channels_last)
        middle = kept.get("middle", stand_in)
        g_middle, g_tall, _ = _native(g, middle, w["tall"], None, (s, 1), (3, 0), (1, 1), False, (0, 0), k, (True, train, False))
        x = read.r if train else read.x  # of which the shape alone matters, then
        if not (want_x or train):
            return {}
        g_r, g_wide, _ = _native(
            channels_last(g_middle), x, w["wide"], None, (1, s), (0, 3), (1, 1), False, (0, 0), 1, (want_x, train, False)
        )
        if want_x:
            read.add_r(channels_last(g_r))
        return {"wide": g_wide, "tall": g_tall} if train else {}


class Halve:
    """Factorised reduction: ReLU, a 1×1 convolution of even and odd pixels."""

    @staticmethod
    def forward(group: Group, read: Input, w: Named, train: bool) -> tuple[Tensor, Named]:
        """→ y, kept."""
        y = channels_last(F.conv2d(channels_last(both_grids(read.r)), w["dense"]))
        return y, {"y": y, **({"train": y.new_empty(0)} if train else {})}

    @staticmethod
    def term(group: Group, read: Input, kept: Named) -> Tensor:
        """→ y."""
        return kept["y"]

    @staticmethod
    def backward(group: Group, g: Tensor, read: Input, w: Named, kept: Named, want_x: bool) -> Named:
        """→ gradients of w."""
        train = "train" in kept
        c, (h, w_) = read.x.shape[1], read.size
        x = channels_last(both_grids(read.r if train else read.x))
        g_x, g_dense, _ = _native(g, x, w["dense"], None, (1, 1), (0, 0), (1, 1), False, (0, 0), 1, (want_x, train, False))
        if want_x:
            g_r = _on_even(channels_last(g_x)[:, :c], read.size)
            g_r[:, :, 1::2, 1::2].add_(g_x[:, c:, : h // 2, : w_ // 2])
            read.add_r(g_r)
        return {"dense": g_dense} if train else {}


class MaxPool:
    """3×3."""

    @staticmethod
    def forward(group: Group, read: Input, w: Named, train: bool) -> tuple[Tensor, Named]:
        """→ y, kept."""
        pooled, places = F.max_pool2d_with_indices(read.x, (3, 3), (read.step, read.step), (1, 1))
        return spread(channels_last(pooled), len(group.nodes)), {"pooled": channels_last(pooled), "places": places}

    @staticmethod
    def term(group: Group, read: Input, kept: Named) -> Tensor:
        """→ y."""
        return spread(kept["pooled"], len(group.nodes))

    @staticmethod
    def backward(group: Group, g: Tensor, read: Input, w: Named, kept: Named, want_x: bool) -> Named:
        """→ gradients of w."""
        if want_x:
            s, g = read.step, gather(g, len(group.nodes))
            back = torch.ops.aten.max_pool2d_with_indices_backward
            read.add_x(channels_last(back(g, read.x, (3, 3), (s, s), (1, 1), (1, 1), False, kept["places"])))
        return {}


class MeanPool:
    """3×3, the padding left out."""

    @staticmethod
    def forward(group: Group, read: Input, w: Named, train: bool) -> tuple[Tensor, Named]:
        """→ y, kept."""
        pooled = channels_last(F.avg_pool2d(read.x, 3, read.step, 1, count_include_pad=False))
        return spread(pooled, len(group.nodes)), {"pooled": pooled}

    @staticmethod
    def term(group: Group, read: Input, kept: Named) -> Tensor:
        """→ y."""
        return spread(kept["pooled"], len(group.nodes))

    @staticmethod
    def backward(group: Group, g: Tensor, read: Input, w: Named, kept: Named, want_x: bool) -> Named:
        """→ gradients of w."""
        if want_x:
            s, g = read.step, gather(g, len(group.nodes))
            back = torch.ops.aten.avg_pool2d_backward
            read.add_x(channels_last(back(g, read.x, (3, 3), (s, s), (1, 1), False, False, None)))
        return {}


class Identity:
    """The source as it is."""

    @staticmethod
    def forward(group: Group, read: Input, w: Named, train: bool) -> tuple[Tensor, Named]:
        """→ y, kept."""
        return spread(read.x, len(group.nodes)), {}

    @staticmethod
    def term(group: Group, read: Input, kept: Named) -> Tensor:
        """→ y."""
        return spread(read.x, len(group.nodes))

    @staticmethod
    def backward(group: Group, g: Tensor, read: Input, w: Named, kept: Named, want_x: bool) -> Named:
        """→ gradients of w."""
        if want_x:
            read.add_x(gather(g, len(group.nodes)))
        return {}


def _on_even(g: Tensor, size: tuple[int, int]) -> Tensor:
    """g on the even rows and columns of zeros. g: [N, C, ⌈H/2⌉, ⌈W/2⌉] → [N, C, *size]."""
    shape = (g.shape[0], *size, g.shape[1])
    out = g.new_zeros(shape).permute(0, 3, 1, 2)
    out[:, :, ::2, ::2].copy_(g)
    return out
