"""The ten operations of §3.1 as modules, with the mathematics of DARTS's code (Liu et al., 2019).

Every one maps [B, C, H, W] to [B, C, ⌈H/stride⌉, ⌈W/stride⌉].
"""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from robnas.errors import unknown


class Zero(nn.Module):
    """No connection: zeros of the shape that the other operations give. Multiplied, so that its input gets a gradient: zero (DDP asks)."""

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        """x: [B, C, H, W] → zeros."""
        return x[:, :, :: self.stride, :: self.stride] * 0.0


class FactorizedReduce(nn.Module):
    """Halves the resolution by two 1×1 convolutions, one on the even pixels and one on the odd ones; half of the channels each."""

    def __init__(self, c_in: int, c_out: int, affine: bool = True) -> None:
        super().__init__()
        self.relu = nn.ReLU()
        self.even = nn.Conv2d(c_in, c_out // 2, 1, stride=2, bias=False)
        self.odd = nn.Conv2d(c_in, c_out - c_out // 2, 1, stride=2, bias=False)
        self.norm = nn.BatchNorm2d(c_out, affine=affine)

    def forward(self, x: Tensor) -> Tensor:
        """x: [B, c_in, H, W] → [B, c_out, ⌈H/2⌉, ⌈W/2⌉]; where H is odd the last odd row lies outside, and is zero."""
        x = self.relu(x)
        shifted = pad(x, (-1, 1, -1, 1))  # drop the first row and column; one of zeros behind the last, which is read for odd sizes only
        out: Tensor = self.norm(torch.cat((self.even(x), self.odd(shifted)), dim=1))
        return out


def relu_conv_norm(c_in: int, c_out: int, affine: bool = True) -> nn.Sequential:
    """ReLU, 1×1 convolution, BN: what brings a cell's inputs to its own number of channels."""
    return nn.Sequential(nn.ReLU(), nn.Conv2d(c_in, c_out, 1, bias=False), nn.BatchNorm2d(c_out, affine=affine))


def _stage(channels: int, kernel: int, stride: int, dilation: int, affine: bool) -> list[nn.Module]:
    """ReLU, depthwise convolution, pointwise convolution, BN."""
    padding = (kernel - 1) // 2 * dilation
    return [
        nn.ReLU(),
        nn.Conv2d(channels, channels, kernel, stride, padding, dilation, groups=channels, bias=False),
        nn.Conv2d(channels, channels, 1, bias=False),
        nn.BatchNorm2d(channels, affine=affine),
    ]


def _separable(kernel: int, channels: int, stride: int, affine: bool, pool_norm: bool) -> nn.Module:
    """Two stages; the first one strides."""
    return nn.Sequential(*_stage(channels, kernel, stride, 1, affine), *_stage(channels, kernel, 1, 1, affine))


def _dilated(kernel: int, channels: int, stride: int, affine: bool, pool_norm: bool) -> nn.Module:
    return nn.Sequential(*_stage(channels, kernel, stride, 2, affine))


def _conv_7x1_1x7(channels: int, stride: int, affine: bool, pool_norm: bool) -> nn.Module:
    return nn.Sequential(
        nn.ReLU(),
        nn.Conv2d(channels, channels, (1, 7), (1, stride), (0, 3), bias=False),
        nn.Conv2d(channels, channels, (7, 1), (stride, 1), (3, 0), bias=False),
        nn.BatchNorm2d(channels, affine=affine),
    )


def _pool(kind: str, channels: int, stride: int, affine: bool, pool_norm: bool) -> nn.Module:
    """The mean leaves the padding out. With `pool_norm`, a BN that is never affine, as in DARTS's search."""
    pool = nn.MaxPool2d(3, stride, 1) if kind == "max" else nn.AvgPool2d(3, stride, 1, count_include_pad=False)
    return nn.Sequential(pool, nn.BatchNorm2d(channels, affine=False)) if pool_norm else pool


def _skip(channels: int, stride: int, affine: bool, pool_norm: bool) -> nn.Module:
    return nn.Identity() if stride == 1 else FactorizedReduce(channels, channels, affine)


def _zero(channels: int, stride: int, affine: bool, pool_norm: bool) -> nn.Module:
    return Zero(stride)


BUILDERS: dict[str, Callable[[int, int, bool, bool], nn.Module]] = {
    "zero": _zero,
    "max_pool_3x3": partial(_pool, "max"),
    "avg_pool_3x3": partial(_pool, "avg"),
    "skip_connect": _skip,
    "sep_conv_3x3": partial(_separable, 3),
    "sep_conv_5x5": partial(_separable, 5),
    "sep_conv_7x7": partial(_separable, 7),
    "dil_conv_3x3": partial(_dilated, 3),
    "dil_conv_5x5": partial(_dilated, 5),
    "conv_7x1_1x7": _conv_7x1_1x7,
}
"""By name, `f(channels, stride, affine, pool_norm)`."""


def build(name: str, channels: int, stride: int, *, affine: bool = True, pool_norm: bool = False) -> nn.Module:
    """One operation on `channels` channels.

    Args:
        name: one of `robnas.space.OPERATIONS`.
        channels: C, in and out.
        stride: 1, or 2 on the edges from a reduction cell's inputs.
        affine: whether BN has weights; DARTS's search has none.
        pool_norm: a BN behind the pools; DARTS's search has one.

    Raises UserError on an unknown name.
    """
    if name not in BUILDERS:
        raise unknown("operation", name, BUILDERS)
    return BUILDERS[name](channels, stride, affine, pool_norm)
