"""Auto-PGD (Croce & Hein, 2020): Algorithm 1, in L∞ and L2. It chooses its own step size."""

from itertools import pairwise
from math import ceil
from typing import Any, ClassVar

import torch
from torch import Tensor

from robnas.attacks import losses, norms
from robnas.attacks.base import Evasion
from robnas.attacks.goal import Goal
from robnas.attacks.losses import Aimed
from robnas.attacks.state import State
from robnas.attacks.victim import WhiteBox
from robnas.errors import UserError, require, unknown

LOSSES = (*losses.NAMED, "targeted_dlr")


class APGD(Evasion):
    """White-box evasion inside a ball, no step size to choose. Where η is halved, a run goes on from its best x.

    Args:
        eps: radius ε of the ball, in pixels of [0, 1].
        steps: N_iter of Algorithm 1.
        n_restarts: runs in all (with targeted_dlr: for each class), each from another uniform point of the ball.
        goal: "untargeted", "most_likely" or "least_likely".
        rho: share of steps that must raise the loss between two checkpoints, else η is halved (ρ).
        norm: "linf", or "l2", where steps have the direction of the gradient and length η.
        loss: "log_odds" (APGD-CE without its rounding, see `Goal.losses`), "cross_entropy", "margin", "dlr" (Eq. 6), or
            "targeted_dlr" (Eq. 7), APGD-T of AutoAttack: untargeted, by way of the most likely classes one after another.
        n_targets: how many of these, all other classes where the model has no more; with targeted_dlr alone.
        kwargs: max_inputs, only_correct and eot, see `Evasion`.
    """

    scales: ClassVar[dict[str, dict[str, Any]]] = {"tiny": {"n_targets": 3}}

    def __init__(
        self,
        eps: float = 8 / 255,
        steps: int = 50,
        n_restarts: int = 1,
        goal: str = "untargeted",
        rho: float = 0.75,
        norm: str = "linf",
        loss: str = "log_odds",
        n_targets: int = 9,
        **kwargs: Any,
    ) -> None:
        self.rho, self.norm, self.loss, self.n_targets = rho, norm, loss, n_targets
        super().__init__(eps=eps, steps=steps, n_restarts=n_restarts, goal=goal, **kwargs)

    def check(self) -> None:
        """Raise UserError for an argument out of range."""
        super().check()
        if self.loss not in LOSSES:
            raise unknown("loss", str(self.loss), LOSSES)
        require(isinstance(self.n_targets, int) and self.n_targets >= 1, f"n_targets: {self.n_targets} is not a whole number ≥ 1")
        others = "targeted_dlr goes through the likely classes itself"
        require(self.loss != "targeted_dlr" or self.goal == "untargeted", f"goal: {self.goal} with loss: {others}; untargeted is needed")

    def runs(self, classes: int) -> int:
        """n_restarts for each class that is aimed at."""
        return self.n_restarts * (min(self.n_targets, classes - 1) if self.loss == "targeted_dlr" else 1)

    def aim(self, goal: Goal, clean: Tensor, run: int) -> Goal:
        """With targeted_dlr the class that the model ranks next on the clean image, the label left out. clean: [B, m].

        Where that one is ruled out (−∞), no gradient leads there: the first class from one more start.
        """
        if self.loss != "targeted_dlr":
            return goal
        others = clean.clamp(min=torch.finfo(clean.dtype).min).scatter(1, goal.label[:, None], -torch.inf)
        ranked = others.argsort(dim=1, descending=True, stable=True)
        first, k_th = ranked[:, 0], ranked[:, run // self.n_restarts]
        out = clean.gather(1, k_th[:, None]).squeeze(1).isinf()
        return Aimed(goal.label, None, goal.confidence, aim=torch.where(out, first, k_th))

    def losses(self, goal: Goal, logits: Tensor) -> Tensor:
        """f of Algorithm 1 by its name: [B, m] → [B]."""
        if self.loss == "targeted_dlr" and not isinstance(goal, Aimed):
            raise UserError("loss: targeted_dlr has no class to aim at here; dlr, margin or log_odds will do")
        return losses.named(self.loss, goal, logits)

    def start(self, s: State) -> Tensor:
        """x_0 uniform in the ball; η = 2ε."""
        zeros = torch.zeros(len(s), dtype=s.x.dtype, device=s.x.device)
        s.eta, s.rises, s.halved = zeros + 2 * self.reach(s.x), zeros, zeros.bool()
        s.f, s.f_max, s.f_max_then = zeros - torch.inf, zeros - torch.inf, zeros - torch.inf
        s.x_max, s.g_max, s.x_before = s.x, torch.zeros_like(s.x), s.x
        return self.uniform_in_ball(s)

    def step(self, victim: WhiteBox, s: State) -> Tensor:
        """From x_k to x_{k+1}. A checkpoint's choice is made once f(x_k) is known, a step later than printed, as in its authors' code.

        Of equal images the older one is x_max, equal values are no rise, and with exactly ρ of rises η stays: >, > and <, as printed.
        """
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
        z = self.project(x_k + norms.steepest(gradient, self.norm) * s.eta.view(-1, *[1] * (s.x.ndim - 1)), s.x)
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
