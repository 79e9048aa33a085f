"""A decision boundary, felt out by labels alone: the three moves of HopSkipJump (Chen, Jordan & Wainwright, 2020), Algorithm 2.

Each works on all inputs of a State at once, and for an input depends on that input alone: every loop is as long for one input as for all,
and what is true of some of them acts as a mask.
"""

from collections.abc import Callable
from math import ceil, log2

import torch
from torch import Tensor

from robnas.attacks import directions, norms
from robnas.attacks.state import State
from robnas.attacks.victim import BlackBox

HALVINGS = 25
"""Of a step, at most: then the input stays where it is (the printed loop has no end). 2⁻²⁵ is beyond the resolution of float32."""
BLOCK = 64
"""Directions of one input that are asked at once: fixed, so that its sum is always made in the same order."""


class Decisions:
    """φ: does an image reach the goal? Asked in chunks; `told` hears how many images were asked."""

    def __init__(self, victim: BlackBox, s: State, told: Callable[[int], None] = lambda n: None) -> None:
        self._victim, self._state, self._told = victim, s, told

    def __call__(self, images: Tensor, rows: Tensor | None = None) -> Tensor:
        """images: [n, C, H, W]; rows: [n] whose they are, one of each standing input by default → [n] bool."""
        s = self._state
        if not len(images):
            return torch.zeros(0, dtype=torch.bool, device=images.device)
        rows = torch.arange(len(s), device=images.device) if rows is None else rows
        answers, size = [], directions.chunk(images)
        for part, whose in zip(torch.split(images, size), torch.split(rows, size), strict=True):
            answers.append(s.goal.select(whose).reached_by(self._victim.labels(part, whose)))
            self._told(len(part))
        return torch.cat(answers)


def bisections(theta: float) -> int:
    """Halvings until an interval is θ of what it was."""
    return ceil(log2(1 / theta))


def search(phi: Decisions, s: State, theta: float, norm: str) -> Tensor:
    """Bin-Search (Algorithm 1): from s.x_t, which reaches the goal, towards s.x as far as it is still reached, to within θ of the way.

    In L2 the way is the line between them; in L∞ the pixels of x_t are cut to within a smaller and smaller distance of x.
    [B, C, H, W]: images that were asked and did reach the goal.
    """
    low = torch.zeros(len(s), dtype=s.x.dtype, device=s.x.device)
    high, found, far = low + 1, s.x_t, norms.distance(s.x_t, s.x, norm)
    for _ in range(bisections(theta)):
        middle = (low + high) / 2
        images = between(s.x, s.x_t, middle, far, norm)
        yes = phi(images)
        low, high = torch.where(yes, low, middle), torch.where(yes, middle, high)
        found = torch.where(column(yes, found), images, found)
    return found


def between(x: Tensor, x_t: Tensor, share: Tensor, far: Tensor, norm: str) -> Tensor:
    """Images at a share [B] of the distance `far` [B] from x to x_t."""
    if norm == "l2":
        return torch.lerp(x, x_t, column(share, x)).clamp_(0, 1)
    reach = column(share * far, x)
    return torch.minimum(torch.maximum(x_t, x - reach), x + reach).clamp_(0, 1)


def normal(phi: Decisions, s: State, delta: Tensor, n: int) -> Tensor:
    """Eq. 16: the direction in which the goal is reached, at s.x_t on the boundary. [B, C, H, W] of L2 length 1.

    v = Σ_b (φ_b − φ̄) u_b, φ_b = ±1 at x_t + δ u_b, u_b uniform on the sphere; where all φ_b are equal their sum, as in the authors' code.
    There u_b is also what is left of the direction once pixels are cut to [0, 1]. delta: [B]; n: directions of each input.
    """
    names, block = s.streams(n), min(n, BLOCK)
    signed, plain = torch.zeros_like(s.x).flatten(1), torch.zeros_like(s.x).flatten(1)
    mean = torch.zeros(len(s), 1, dtype=s.x.dtype, device=s.x.device)
    for rows in torch.split(torch.arange(len(s), device=s.x.device), max(1, directions.chunk(s.x) // block)):
        x, size = s.x_t[rows][:, None], column(delta[rows], s.x)[:, None]
        for part in torch.split(names[rows], block, 1):
            u = directions.gaussian(part.reshape(-1), s.x)
            u *= column(1 / u.flatten(1).norm(dim=1), u)
            u = u.view(*part.shape, *s.x.shape[1:]).mul_(size).add_(x).clamp_(0, 1)
            sign = phi(u.flatten(0, 1), rows.repeat_interleave(part.shape[1])).view(part.shape).to(u.dtype).mul_(2).sub_(1)
            u = u.sub_(x).div_(size).flatten(2)
            signed[rows] += torch.bmm(sign[:, None], u)[:, 0]
            plain[rows] += u.sum(1)
            mean[rows] += sign.sum(1, keepdim=True) / n
    v = torch.where(mean.abs() > 1 - 0.5 / n, signed, signed - mean * plain).view_as(s.x)
    return norms.steepest(v, "l2")


def jump(phi: Decisions, s: State, direction: Tensor, size: Tensor) -> Tensor:
    """From s.x_t along a direction, by `size` [B] or the first half, quarter, … of it that still reaches the goal. [B, C, H, W]"""
    out, pending = s.x_t.clone(), torch.arange(len(s), device=s.x.device)
    for _ in range(HALVINGS):
        images = (s.x_t[pending] + column(size, s.x)[pending] * direction[pending]).clamp_(0, 1)
        yes = phi(images, pending)
        out[pending[yes]] = images[yes]
        pending, size = pending[~yes], size / 2
        if not len(pending):
            break
    return out


def column(values: Tensor, x: Tensor) -> Tensor:
    """[B] → [B, 1, …], as many dimensions as x has."""
    return values.view(-1, *[1] * (x.ndim - 1))
