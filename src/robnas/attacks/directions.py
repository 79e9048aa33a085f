"""Many random directions of each input at little cost: what black-box attacks spend most of their own time on."""

import math

import torch
from torch import Tensor

from robnas import seeds


def gaussian(names: Tensor, like: Tensor) -> Tensor:
    """Standard normal directions, one a name. names: [n] int64 (`State.streams`); like: [_, C, H, W] → [n, C, H, W] of its dtype.

    Box and Muller (1958), both of its values, 24 bits each for angle and radius: a quarter of the work of `seeds.normal`. No value lies
    beyond 5.9; the mean is exactly 0, as angles come on a full circle.
    """
    d = math.prod(like.shape[1:])
    z = seeds.bits(names, (d + 1) // 2)
    radius = ((z >> 40) & 0xFFFFFF).to(like.dtype).add_(0.5).mul_(2.0**-24).log_().mul_(-2).sqrt_()
    angle = (z & 0xFFFFFF).to(like.dtype).mul_(2 * math.pi * 2.0**-24)
    out = torch.empty(len(names), 2, z.shape[1], dtype=like.dtype, device=like.device)
    torch.mul(radius, angle.cos(), out=out[:, 0])
    torch.mul(radius, angle.sin_(), out=out[:, 1])
    return out.view(len(names), -1)[:, :d].reshape(len(names), *like.shape[1:])


def chunk(like: Tensor) -> int:
    """Images that are asked at once: what fits the caches of a CPU, what fills a GPU. No result depends on it."""
    return 256 if like.device.type == "cpu" else 4096
