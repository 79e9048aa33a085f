"""Augmentation of whole batches on any device; what happens to an input depends on its index and the keys, not on its neighbours."""

import torch
from torch import Tensor
from torch.nn.functional import pad

from robnas import seeds


def crop(x: Tensor, index: Tensor, padding: int, fill: float, *keys: int | str) -> Tensor:
    """Pad by `padding` pixels of value `fill` (in x's own unit) and cut the old size out at a random place. x: [B, C, H, W]."""
    corner = (seeds.uniform(index, (2,), *keys) * (2 * padding + 1)).long()
    return cut_out_at(x, corner, padding, fill)


def cut_out_at(x: Tensor, corner: Tensor, padding: int, fill: float) -> Tensor:
    """corner: [B, 2], top and left of the window in the padded image, each in 0 … 2·padding; `padding` leaves the image as it is."""
    windows = pad(x, (padding,) * 4, value=fill).unfold(2, x.shape[2], 1).unfold(3, x.shape[3], 1)  # a view: [B, C, top, left, H, W]
    return windows[torch.arange(len(x), device=x.device), :, corner[:, 0], corner[:, 1]]


def flip(x: Tensor, index: Tensor, *keys: int | str) -> Tensor:
    """Mirror every second input, left to right. x: [B, C, H, W]."""
    mirrored = seeds.uniform(index, (), *keys) < 0.5
    return torch.where(mirrored[:, None, None, None], x.flip(-1), x)


def cutout(x: Tensor, index: Tensor, side: int, fill: Tensor, *keys: int | str) -> Tensor:
    """Paint a square over a random place (DeVries and Taylor, 2017): its centre is uniform, so that the border may cut it.

    x: [B, C, H, W], side: pixels, fill: [C]. With the mean of the training data as `fill` the square is zero after normalisation,
    as in the original.
    """
    size = torch.tensor(x.shape[2:], device=x.device)
    return paint(x, (seeds.uniform(index, (2,), *keys) * size).long(), side, fill)


def paint(x: Tensor, centre: Tensor, side: int, fill: Tensor) -> Tensor:
    """centre: [B, 2], row and column → rows and columns in [centre − side // 2, centre − side // 2 + side) take `fill`: [C]."""
    start = centre - side // 2

    def inside(axis: int) -> Tensor:
        distance = torch.arange(x.shape[2 + axis], device=x.device) - start[:, axis, None]  # [B, H] or [B, W]
        return (distance >= 0) & (distance < side)

    square = inside(0)[:, None, :, None] & inside(1)[:, None, None, :]
    return torch.where(square, fill.to(x).view(1, -1, 1, 1), x)
