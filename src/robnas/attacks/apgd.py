"""Auto-PGD (Croce & Hein, 2020): Algorithm 1, with the cross-entropy as the loss (see `Goal.losses`). It chooses its own step size."""

from itertools import pairwise
from math import ceil
from typing import Any

import torch
from torch import Tensor

from robnas.attacks.base import Evasion
from robnas.attacks.state import State
from robnas.attacks.victim import WhiteBox


class APGD(Evasion):
    """White-box evasion inside an L∞ ball, no step size to choose. Where η is halved, a run goes on from its best x.

    Args:
        eps: radius ε of the ball, in pixels of [0, 1].
        steps: N_iter of Algorithm 1.
        n_restarts: runs in all, each from another uniform point of the ball.
        goal: "untargeted", "most_likely" or "least_likely".
        rho: share of steps that must raise the loss between two checkpoints, else η is halved (ρ).
        kwargs: max_inputs and only_correct, see `Evasion`.
    """

    def __init__(
        self, eps: float = 8 / 255, steps: int = 50, n_restarts: int = 1, goal: str = "untargeted", rho: float = 0.75, **kwargs: Any
    ) -> None:
        super().__init__(eps=eps, steps=steps, n_restarts=n_restarts, goal=goal, **kwargs)
        self.rho = rho

    def start(self, s: State) -> Tensor:
        """x_0 uniform in the ball; η = 2ε."""
        zeros = torch.zeros(len(s), dtype=s.x.dtype, device=s.x.device)
        s.eta, s.rises, s.halved = zeros + 2 * self.eps, zeros, zeros.bool()
        s.f, s.f_max, s.f_max_then = zeros - torch.inf, zeros - torch.inf, zeros - torch.inf
        s.x_max, s.g_max, s.x_before = s.x, torch.zeros_like(s.x), s.x
        return self.project(s.x + s.uniform(-self.eps, self.eps), s.x)

    def step(self, victim: WhiteBox, s: State) -> Tensor:
        """From x_k to x_{k+1}. A checkpoint's choice is made once f(x_k) is known, a step later than printed, as in its authors' code."""
        logits, gradient = victim.logits_and_gradient(s.x_t, s.goal)
        f, x_k = self.losses(s.goal, logits), s.x_t
        s.rises, s.f = s.rises + (f > s.f), f
        best = f > s.f_max
        s.x_max, s.g_max, s.f_max = where(best, x_k, s.x_max), where(best, gradient, s.g_max), where(best, f, s.f_max)
        s.leave(s.goal.reached(logits))
        x_k, gradient = s.x_t, s.keep(gradient)
        if s.t == 0:
            s.rises, s.f_max_then = torch.zeros_like(s.rises), s.f_max
        elif (since := checkpoints(self.steps).get(s.t)) is not None:
            halve = (s.rises < self.rho * since) | (~s.halved & (s.f_max_then == s.f_max))  # conditions 1 and 2
            s.eta, s.halved = where(halve, s.eta / 2, s.eta), halve
            s.rises, s.f_max_then = torch.zeros_like(s.rises), s.f_max
            x_k, gradient = where(halve, s.x_max, x_k), where(halve, s.g_max, gradient)
        z = self.project(x_k + s.eta.view(-1, 1, 1, 1) * gradient.sign(), s.x)
        x_next = z if s.t == 0 else self.project(x_k + 0.75 * (z - x_k) + 0.25 * (x_k - s.x_before), s.x)  # α = 0.75
        s.x_before = x_k
        return x_next


def checkpoints(steps: int) -> dict[int, int]:
    """§3.2 of Croce & Hein: w_j = ⌈p_j N⌉, p_{j+1} = p_j + max(p_j − p_{j−1} − 0.03, 0.06) → {w_j: w_j − w_{j−1}}."""
    p = [0.0, 0.22]
    while p[-1] < 1:
        p.append(p[-1] + max(p[-1] - p[-2] - 0.03, 0.06))
    w = [ceil(round(steps * p_j, 9)) for p_j in p]
    return {b: b - a for a, b in pairwise(w) if b > a}


def where(rows: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """a on those rows, b on the others. rows: [B] bool; a, b: [B, …]."""
    return torch.where(rows.view(-1, *[1] * (a.ndim - 1)), a, b)
