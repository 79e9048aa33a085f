"""The patterns that Square draws in L2 (Andriushchenko et al., 2020), and how they get into an image."""

from functools import cache

import torch
from torch import Tensor


def bump(height: int, width: int) -> Tensor:
    """η^(h1,h2) of Algorithm 3: Σ_{k=0}^{M} 1/(n + 1 − k)² with M = n − distance from the middle, then of length 1.

    [height, width] float64.
    """
    n = max(height, width) // 2
    rings = torch.maximum((torch.arange(height) - height // 2).abs()[:, None], (torch.arange(width) - width // 2).abs()[None])
    inwards = torch.arange(1, n + 2, dtype=torch.float64).square().reciprocal().flip(0).cumsum(0).flip(0)  # [d]: Σ_{j>d} 1/j²
    eta: Tensor = inwards[rings]
    length: Tensor = eta.norm()
    return eta / length


@cache
def pair(side: int) -> Tensor:
    """η: a bump above its negative, length 1, and the same lying on its side: [2, side, side]."""
    upper = side // 2
    eta = torch.cat([bump(upper, side), -bump(side - upper, side)]) if upper else -bump(side, side)
    eta = eta / eta.norm()
    return torch.stack([eta, eta.T])


def corner(u: Tensor, room: int) -> Tensor:
    """u: [B] uniform in [0, 1) → [B] int64 uniform in 0 … room."""
    return (u * (room + 1)).long().clamp(max=room)


def window(top: Tensor, left: Tensor, side: int, like: Tensor) -> Tensor:
    """Where a square lies: top, left: [B] int64, like: [B, C, H, W] → [B, 1, H, W] bool."""
    rows, columns = (torch.arange(n, device=like.device)[None] - at[:, None] for n, at in ((like.shape[2], top), (like.shape[3], left)))
    return (((rows >= 0) & (rows < side))[:, :, None] & ((columns >= 0) & (columns < side))[:, None, :])[:, None]


def placed(patterns: Tensor, which: Tensor, top: Tensor, left: Tensor, like: Tensor) -> Tensor:
    """patterns[which] at those corners, zero elsewhere. patterns: [2, side, side]; which, top, left: [B] → [B, 1, H, W]."""
    side = patterns.shape[-1]
    rows = (torch.arange(like.shape[2], device=like.device)[None] - top[:, None]).clamp(0, side - 1)
    columns = (torch.arange(like.shape[3], device=like.device)[None] - left[:, None]).clamp(0, side - 1)
    values = patterns[which[:, None, None], rows[:, :, None], columns[:, None, :]]
    return values[:, None] * window(top, left, side, like)


def tiled(patterns: Tensor, which: Tensor, signs: Tensor, like: Tensor) -> Tensor:
    """A grid of patterns in the middle of the image. which: [B, rows, columns] int64; signs: [B, rows, columns, C] → [B, C, H, W]."""
    (n, rows, columns), side, channels = which.shape, patterns.shape[-1], signs.shape[-1]
    tiles = patterns[which][..., None] * signs[:, :, :, None, None, :]  # [B, rows, columns, side, side, C]
    grid = tiles.permute(0, 5, 1, 3, 2, 4).reshape(n, channels, rows * side, columns * side)
    out = torch.zeros_like(like)
    top, left = (like.shape[2] - rows * side) // 2, (like.shape[3] - columns * side) // 2
    out[:, :, top : top + rows * side, left : left + columns * side] = grid
    return out
