"""Depthwise convolutions on channels_last tensors, and their gradients composed of what a CPU computes fast.

oneDNN has fast kernels for every forward pass and for few backward passes: weight gradients of kernels at most three columns wide, without
dilation; anything else falls into a generic path, up to 40 times as slow. So here

- an input gradient is the forward convolution with the flipped kernel;
- a weight gradient is computed in strips of at most three columns, each from a shifted input;
- a convolution with dilation or stride 2 is plain ones on the four subgrids of even and odd rows and columns.

x: [N, G, H, W], weight: [G, 1, k, k] with k odd, same padding everywhere: the output has ⌈H/stride⌉ × ⌈W/stride⌉ pixels.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

_native = torch.ops.aten.convolution_backward


def channels_last(x: Tensor) -> Tensor:
    """x itself where it is laid out so already."""
    return x.contiguous(memory_format=torch.channels_last)


def depthwise(x: Tensor, weight: Tensor, stride: int = 1, dilation: int = 1) -> Tensor:
    """The convolution."""
    padding = weight.shape[-1] // 2 * dilation
    return channels_last(F.conv2d(x, weight, None, stride, padding, dilation, len(weight)))


def input_gradient(g: Tensor, size: tuple[int, int], weight: Tensor, stride: int = 1, dilation: int = 1) -> Tensor:
    """∂/∂x: [N, G, *size], where g: [N, G, H′, W′] is the gradient of the output."""
    k = weight.shape[-1]
    if stride == 1 and (k > 3 or dilation > 1):
        return depthwise(g, weight.flip(2, 3), 1, dilation)
    x = g if stride == 1 else torch.empty((*g.shape[:2], *size), dtype=g.dtype, device=g.device, memory_format=torch.channels_last)
    return channels_last(_backward(g, x, weight, stride, k // 2 * dilation, k // 2 * dilation, dilation, (True, False))[0])


def weight_gradient(g: Tensor, x: Tensor, weight: Tensor, stride: int = 1, dilation: int = 1) -> Tensor:
    """∂/∂weight: [G, 1, k, k]; of the weight the shape alone matters."""
    k = weight.shape[-1]
    if g.device.type == "cpu" and dilation == 2 and stride == 1 and not (x.shape[2] % 2 or x.shape[3] % 2):
        return weight_gradient(subgrids(g), subgrids(x), weight)
    if g.device.type == "cpu" and stride == 2 and dilation == 1 and k > 3 and min(g.shape[2:]) >= k:
        return _strided(g, x, weight)
    if g.device.type != "cpu" or stride > 1 or dilation > 1 or k not in _STRIPS or x.shape[3] < k // 2:
        padding = k // 2 * dilation
        return _backward(g, x, weight, stride, padding, padding, dilation, (False, True))[1]
    strips = [_strip(g, x, weight, first, last) for first, last in _STRIPS[k]]
    return torch.cat(strips, 3) if len(strips) > 1 else strips[0]


_STRIPS = {3: ((0, 3),), 5: ((0, 3), (3, 5)), 7: ((0, 2), (2, 5), (5, 7))}
"""Columns of the kernel, [first, last), of which each strip is made; the middle one of seven needs no shifted input."""


def _strip(g: Tensor, x: Tensor, weight: Tensor, first: int, last: int) -> Tensor:
    k, rows = weight.shape[-1], weight.shape[-1] // 2
    left, right = k // 2 - first, last - 1 - k // 2  # zeros beside x, as many as the strip reaches over
    low = x.shape[2] < k  # there the fast kernel wants its padding spelled out
    if left == right and not low:
        return _backward(g, x, weight[..., first:last], 1, rows, left, 1, (False, True))[1]
    x = channels_last(F.pad(x, (left, right, rows, rows) if low else (left, right)))
    return _backward(g, x, weight[..., first:last], 1, 0 if low else rows, 0, 1, (False, True))[1]


def _strided(g: Tensor, x: Tensor, weight: Tensor) -> Tensor:
    """The weight gradient with stride 2. Every other tap reads the same subgrid, and without stride."""
    k, p = weight.shape[-1], weight.shape[-1] // 2
    found = torch.empty_like(weight)
    for i, j in ((0, 0), (0, 1), (1, 0), (1, 1)):
        grid, rows, columns = x[:, :, i::2, j::2], range((p + i) % 2, k, 2), range((p + j) % 2, k, 2)
        for strip in (columns,) if len(columns) < 4 else (columns[:2], columns[2:]):
            above, left = (p + i - rows[0]) // 2, (p + j - strip[0]) // 2
            below, right = (g.shape[d] - 1 + len(taps) - before - grid.shape[d] for d, taps, before in ((2, rows, above), (3, strip, left)))
            shifted = channels_last(F.pad(grid, (left, right, above, below)))
            shape = weight[:, :, : len(rows), : len(strip)]
            found[:, :, rows[0] :: 2, strip[0] : strip[-1] + 1 : 2] = _backward(g, shifted, shape, 1, 0, 0, 1, (False, True))[1]
    return found


def subgrids(x: Tensor) -> Tensor:
    """[N, G, H, W] with H and W even → [4N, G, H/2, W/2]: even and odd rows and columns."""
    n, g, h, w = x.shape
    grids = x.as_strided((2, 2, n, h // 2, w // 2, g), (w * g, g, h * w * g, 2 * w * g, 2 * g, 1))
    return grids.reshape(4 * n, h // 2, w // 2, g).permute(0, 3, 1, 2)


def _backward(
    g: Tensor, x: Tensor, weight: Tensor, stride: int, rows: int, columns: int, dilation: int, want: tuple[bool, bool]
) -> tuple[Tensor, Tensor]:
    """The native backward pass with `rows` and `columns` of padding."""
    d = [dilation, dilation]
    both: tuple[Tensor, Tensor] = _native(
        g, x, weight, None, [stride, stride], [rows, columns], d, False, [0, 0], len(weight), [*want, False]
    )[:2]
    return both
