"""Gradients of single inputs with respect to one layer's parameters, from what goes into it and ∂ℓ/∂ of what comes out (Goodfellow, 2015).

Goodfellow's "Efficient per-example gradient computations" has linear layers; convolutions are the same after unfolding.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from robnas.batch_norm import BatchNorm1d, BatchNorm2d

_NORMS: tuple[Any, ...] = (nn.BatchNorm1d.forward, nn.BatchNorm2d.forward, BatchNorm1d.forward, BatchNorm2d.forward)


def known(m: nn.Module) -> bool:
    """Whether `pieces` has the gradients of all parameters that are the module's own: true where it has none.

    A subclass is known by its forward pass. What is parametrised (weight or spectral norms) has other parameters.
    """
    if not has_parameters(m):
        return True
    forward: Any = type(m).forward
    if not set(m._parameters) <= {"weight", "bias"}:
        return False
    if forward is nn.Conv2d.forward:
        return m.padding_mode == "zeros" and not isinstance(m.padding, str)
    if forward in _NORMS:  # of a batch the moments are shared: there is no gradient of one input
        return not m.training and isinstance(m.running_mean, Tensor)
    return forward is nn.Linear.forward


def has_parameters(m: nn.Module) -> bool:
    """Of its own."""
    return any(p is not None for p in m._parameters.values())


def pieces(m: nn.Module, x: Tensor, g: Tensor, at_once: int) -> Iterator[tuple[str, int, Tensor]]:
    """Name of a parameter, number of its first element, gradients of k inputs [k, p]. Filters of a convolution are [kh, kw, C].

    Args:
        m: `known`.
        x: what went in, [k, …].
        g: ∂ Σ ℓ_i / ∂ of what came out, [k, …].
        at_once: numbers in a piece; a filter is not cut.
    """
    g = g.to(x.dtype)
    if isinstance(m, nn.Conv2d):
        if m.bias is not None:
            yield "bias", 0, g.sum((2, 3))
        depthwise = 1 < m.groups == m.in_channels == m.out_channels
        yield from [("weight", 0, _depthwise(m, x, g))] if depthwise else _convolution(m, x, g, at_once)
    elif isinstance(m, nn.Linear):
        x, g = (t.reshape(len(t), -1, t.shape[-1]) for t in (x, g))
        if m.bias is not None:
            yield "bias", 0, g.sum(1)
        yield from _products(g.transpose(1, 2), x, at_once)
    else:
        x, g = (t.flatten(2) if t.ndim > 2 else t[..., None] for t in (x, g))
        if m.bias is not None:
            yield "bias", 0, g.sum(2)
        assert isinstance(m, nn.modules.batchnorm._BatchNorm)
        assert m.running_mean is not None
        assert m.running_var is not None
        mean, scale = m.running_mean.to(x.dtype), (m.running_var + m.eps).rsqrt().to(x.dtype)
        yield "weight", 0, (g * (x - mean[:, None])).sum(2) * scale


def order(weight: Tensor) -> Tensor:
    """A parameter in the order of `pieces`, flattened."""
    return (weight.permute(0, 2, 3, 1) if weight.ndim == 4 else weight).flatten()


def _convolution(m: nn.Conv2d, x: Tensor, g: Tensor, at_once: int) -> Iterator[tuple[str, int, Tensor]]:
    """x is unfolded with channels last: rows of kw · C adjacent numbers are copied at once."""
    (kh, kw), (down, right), (rows, columns), n = m.kernel_size, m.dilation, m.stride, m.groups
    above, left = (int(p) for p in m.padding)
    padded = F.pad(x.permute(0, 2, 3, 1), (0, 0, left, left, above, above)).contiguous()
    k, (h, w), c = len(x), g.shape[2:], x.shape[1] // n
    image, row, pixel, _ = padded.stride()
    strides = (image, c, row * rows, pixel * columns, row * down, pixel * right, 1)
    unfolded = padded.as_strided((k, n, h, w, kh, kw, c), strides).reshape(k * n, h * w, kh * kw * c)
    out = g.permute(0, 2, 3, 1).reshape(k, h * w, n, -1).permute(0, 2, 3, 1)  # [k, groups, filters, T]
    if n == 1:
        yield from _products(out[:, 0], unfolded, at_once)
    else:
        yield "weight", 0, torch.bmm(out.reshape(k * n, -1, h * w), unfolded).view(k, -1)


def _products(out: Tensor, x: Tensor, at_once: int) -> Iterator[tuple[str, int, Tensor]]:
    """out: [k, filters, T], x: [k, T, inputs] → some filters at a time."""
    k, filters, inputs = *out.shape[:2], x.shape[2]
    step = max(1, at_once // max(1, k * inputs))
    for first in range(0, filters, step):
        yield "weight", first * inputs, torch.bmm(out[:, first : first + step], x).flatten(1)


def _depthwise(m: nn.Conv2d, x: Tensor, g: Tensor) -> Tensor:
    """A correlation of each map with its gradient: one convolution of k · C channels, stride and dilation changing places."""
    k, c = x.shape[:2]
    maps, kernels = x.reshape(1, k * c, *x.shape[2:]), g.reshape(k * c, 1, *g.shape[2:])
    found = F.conv2d(maps, kernels, None, m.dilation, m.padding, m.stride, k * c)
    return found[..., : m.kernel_size[0], : m.kernel_size[1]].reshape(k, -1)
