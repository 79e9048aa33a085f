"""Each operation up to its last norm, forward and backward, for all the edges that leave a source."""

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from robnas.space import depthwise
from robnas.space.depthwise import channels_last
from robnas.space.fused_input import Input, gather, on_even, spread
from robnas.space.plain import both_grids
from robnas.space.plan import Group

Named = Mapping[str, Tensor]
"""Weights of one group, or what its forward pass keeps, or the gradients of its weights, by name."""

_native = torch.ops.aten.convolution_backward


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
# forward  → the map y to be normed, [N, K·C, H′, W′], or [N, C, H′, W′] where all edges share it; and what the others need of it.
#            `train`: w will want gradients;
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
            g_r = on_even(channels_last(g_x)[:, :c], read.size)
            g_r[:, :, 1::2, 1::2].add_(g_x[:, c:, : h // 2, : w_ // 2])
            read.add_r(g_r)
        return {"dense": g_dense} if train else {}


class MaxPool:
    """3×3. One map for all edges."""

    @staticmethod
    def forward(group: Group, read: Input, w: Named, train: bool) -> tuple[Tensor, Named]:
        """→ y, kept."""
        y, places = F.max_pool2d_with_indices(read.x, (3, 3), (read.step, read.step), (1, 1))
        y = channels_last(y)
        return y, {"y": y, "places": places}

    @staticmethod
    def term(group: Group, read: Input, kept: Named) -> Tensor:
        """→ y."""
        return kept["y"]

    @staticmethod
    def backward(group: Group, g: Tensor, read: Input, w: Named, kept: Named, want_x: bool) -> Named:
        """→ gradients of w."""
        if want_x:
            s, back = read.step, torch.ops.aten.max_pool2d_with_indices_backward
            read.add_x(channels_last(back(g, read.x, (3, 3), (s, s), (1, 1), (1, 1), False, kept["places"])))
        return {}


class MeanPool:
    """3×3, the padding left out. One map for all edges."""

    @staticmethod
    def forward(group: Group, read: Input, w: Named, train: bool) -> tuple[Tensor, Named]:
        """→ y, kept."""
        y = channels_last(F.avg_pool2d(read.x, 3, read.step, 1, count_include_pad=False))
        return y, {"y": y}

    @staticmethod
    def term(group: Group, read: Input, kept: Named) -> Tensor:
        """→ y."""
        return kept["y"]

    @staticmethod
    def backward(group: Group, g: Tensor, read: Input, w: Named, kept: Named, want_x: bool) -> Named:
        """→ gradients of w."""
        if want_x:
            s, back = read.step, torch.ops.aten.avg_pool2d_backward
            read.add_x(channels_last(back(g, read.x, (3, 3), (s, s), (1, 1), False, False, None)))
        return {}


class Identity:
    """The source as it is: one map for all edges. With a mask (dropout) one for each."""

    @staticmethod
    def forward(group: Group, read: Input, w: Named, train: bool) -> tuple[Tensor, Named]:
        """→ y, kept."""
        return Identity.term(group, read, w), w

    @staticmethod
    def term(group: Group, read: Input, kept: Named) -> Tensor:
        """→ y."""
        return spread(read.x, len(group.nodes)) * kept["mask"] if kept else read.x

    @staticmethod
    def backward(group: Group, g: Tensor, read: Input, w: Named, kept: Named, want_x: bool) -> Named:
        """→ gradients of w."""
        if want_x:
            read.add_x(gather(g * kept["mask"], len(group.nodes)) if kept else g)
        return {}
