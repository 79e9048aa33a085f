"""Balls around an image, in the two norms that attacks use: L∞ and L2, both in pixels of [0, 1]."""

import torch
from torch import Tensor

NORMS = ("linf", "l2")


def distance(a: Tensor, b: Tensor, norm: str) -> Tensor:
    """[B, C, H, W] each → [B]."""
    delta = (a - b).flatten(1)
    return delta.abs().amax(1) if norm == "linf" else delta.norm(dim=1)


def project(x_t: Tensor, x: Tensor, eps: float, norm: str) -> Tensor:
    """Π of Eq. 15: back to within ε of x and into [0, 1]. [B, C, H, W] each.

    In L∞ the nearest such image. In L2 x_t first moves straight towards x, then its pixels into [0, 1], which brings them nearer to x.
    """
    delta = x_t - x
    if norm == "linf":
        return (x + delta.clamp(-eps, eps)).clamp(0, 1)
    length = delta.flatten(1).norm(dim=1).clamp(min=torch.finfo(delta.dtype).tiny)
    return (x + delta * _like((eps / length).clamp(max=1), delta)).clamp(0, 1)


def steepest(gradient: Tensor, norm: str) -> Tensor:
    """The direction of length 1 in which a loss rises fastest: the sign of its gradient, or the gradient over its L2 norm.

    gradient: [B, C, H, W] → same shape; where it is zero in all pixels, zero.
    """
    if norm == "linf":
        return gradient.sign()
    peak = gradient.flatten(1).abs().amax(1)
    gradient = gradient / _like(torch.where(peak > 0, peak, 1), gradient)  # else the squares of a small gradient are zero
    length = gradient.flatten(1).norm(dim=1)
    return gradient / _like(torch.where(length > 0, length, 1), gradient)


def in_ball(direction: Tensor, u: Tensor, eps: float) -> Tensor:
    """A point drawn uniformly from the L2 ball of radius ε. direction: [B, …] standard normal; u: [B] uniform in [0, 1]."""
    radius = eps * u ** (1 / direction[0].numel()) if len(direction) else u
    return direction * _like(radius / direction.flatten(1).norm(dim=1), direction)


def _like(values: Tensor, x: Tensor) -> Tensor:
    """[B] → [B, 1, …], to be multiplied with x."""
    return values.view(-1, *[1] * (x.ndim - 1))
