"""Square attack (Andriushchenko et al., 2020): random squares, kept where they help. Algorithm 1 with 2 (L∞) or 3 (L2)."""

from typing import Any, ClassVar

import torch
from torch import Tensor

from robnas.attacks import bumps, losses
from robnas.attacks.apgd import where
from robnas.attacks.base import Evasion
from robnas.attacks.goal import Goal
from robnas.attacks.state import State
from robnas.attacks.victim import BlackBox
from robnas.errors import require

HALVINGS = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)  # of 10,000 queries; 500 as in the authors' code


class Square(Evasion):
    """Score-based evasion inside a ball: no gradient, so a model that only hides its gradients does not resist it.

    What is raised is the margin (`losses.lead`), read from logarithms of probabilities, which are logits up to a constant; for a target
    too, where its authors take the cross-entropy. Of L2's two windows the second may overlap the first, as in their code.

    Args:
        eps: radius ε of the ball, in pixels of [0, 1].
        n_queries: N of Algorithm 1, images that are tried, the first one included.
        p_init: share of the image's pixels that the first squares cover; it is halved nine times on the way, at fixed shares of N.
        n_restarts: runs in all.
        goal: "untargeted", "most_likely" or "least_likely".
        norm: "linf" or "l2".
        kwargs: max_inputs, only_correct and eot, see `Evasion`.
    """

    access = "score"
    scales: ClassVar[dict[str, dict[str, Any]]] = {"tiny": {"n_queries": 500}}

    def __init__(
        self,
        eps: float = 8 / 255,
        n_queries: int = 5000,
        p_init: float = 0.8,
        n_restarts: int = 1,
        goal: str = "untargeted",
        norm: str = "linf",
        **kwargs: Any,
    ) -> None:
        self.norm, self.n_queries, self.p_init = norm, n_queries, p_init
        super().__init__(eps=eps, steps=n_queries, n_restarts=n_restarts, goal=goal, **kwargs)

    def check(self) -> None:
        """Raise UserError for an argument out of range."""
        require(isinstance(self.n_queries, int) and self.n_queries >= 1, f"n_queries: {self.n_queries} is not a whole number ≥ 1")
        super().check()
        require(0 < self.p_init <= 1, f"p_init: {self.p_init} is not a share in (0, 1]")

    def losses(self, goal: Goal, logits: Tensor) -> Tensor:
        """What is raised: [B, m] logits → [B]."""
        return losses.lead(goal, logits)

    def start(self, s: State) -> Tensor:
        """L∞: vertical stripes of ±ε. L2: about five bumps a side."""
        require(s.x.ndim == 4, f"x: shape {list(s.x.shape)}; Square needs images [N, C, H, W]")
        s.x_best, s.f_best = s.x, torch.full_like(s.x.flatten(1)[:, 0], -torch.inf)
        _, c, h, w = s.x.shape
        if self.norm == "linf":
            return self.project(s.x + self.reach(s.x) * signs(s.uniform(shape=(c, 1, w))), s.x)
        side = max(1, min(h, w) // 5)
        u = s.uniform(shape=(h // side, w // side, 1 + c))
        return self._scaled(bumps.tiled(self._patterns(side, s), (u[..., 0] < 0.5).long(), signs(u[..., 1:]), s.x), s)

    def step(self, victim: BlackBox, s: State) -> Tensor:
        """One query. What is better than the best so far, not as good (Algorithm 1), takes its place; the next is tried from there."""
        logits: Tensor = victim.scores(s.x_t).clamp(min=torch.finfo(s.x.dtype).tiny).log()
        f = self.losses(s.goal, logits)
        better = f > s.f_best
        s.x_best, s.f_best = where(better, s.x_t, s.x_best), where(better, f, s.f_best)
        s.leave(s.goal.reached(logits))
        if s.t + 1 == self.steps:
            best: Tensor = s.x_best
            return best
        return self._squares(s) if self.norm == "linf" else self._moved_bump(s)

    def share(self, t: int) -> float:
        """p after t squares."""
        return self.p_init / float(2 ** sum(int(10_000 * t / self.steps) > at for at in HALVINGS))

    def _squares(self, s: State) -> Tensor:
        """Algorithm 2: in one square, one of ±ε in each channel."""
        _, c, h, w = s.x.shape
        side = min(max(round((self.share(s.t) * h * w) ** 0.5), 1), h, w)
        u = s.uniform(shape=(2 + c,))
        inside = bumps.window(bumps.corner(u[:, 0], h - side), bumps.corner(u[:, 1], w - side), side, s.x)
        return self.project(torch.where(inside, s.x + self.reach(s.x) * signs(u[:, 2:, None, None]), s.x_best), s.x)

    def _moved_bump(self, s: State) -> Tensor:
        """Algorithm 3: the perturbation of window 2, and what is left of ε, go into a bump in window 1."""
        _, c, h, w = s.x.shape
        side = max(round((self.share(s.t) * h * w) ** 0.5), 3) // 2 * 2 + 1  # odd
        side = min(side, (min(h, w) - 1) // 2 * 2 + 1)
        u = s.uniform(shape=(5 + c,))
        (top, top_2), (left, left_2) = (tuple(bumps.corner(u[:, i], n - side) for i in (0 + k, 2 + k)) for k, n in ((0, h), (1, w)))
        one, two = bumps.window(top, left, side, s.x), bumps.window(top_2, left_2, side, s.x)
        nu = s.x_best - s.x
        unused = (self.reach(s.x) ** 2 - nu.flatten(1).square().sum(1)).clamp(min=0)[:, None, None, None]
        available = ((nu * (one | two)).square().sum((2, 3), keepdim=True) + unused / c).sqrt()
        eta = bumps.placed(self._patterns(side, s), (u[:, 4] < 0.5).long(), top, left, s.x) * signs(u[:, 5:, None, None])
        fresh = unit(eta + unit(nu * one)) * available
        return self._scaled(torch.where(one, fresh, nu * ~two), s)

    def _scaled(self, nu: Tensor, s: State) -> Tensor:
        """x + ν with ν stretched to length ε, cut to [0, 1]: as in the authors' code, since cutting makes it shorter."""
        length = nu.flatten(1).norm(dim=1).clamp(min=1e-12)[:, None, None, None]
        return self.project(s.x + nu * (self.reach(s.x) / length), s.x)

    def _patterns(self, side: int, s: State) -> Tensor:
        return bumps.pair(side).to(s.x)


def signs(u: Tensor) -> Tensor:
    """Uniform in [0, 1) → ±1."""
    return torch.where(u < 0.5, -1.0, 1.0).to(u)


def unit(x: Tensor) -> Tensor:
    """[B, C, H, W] → each channel of length 1, or zero."""
    return x / x.square().sum((2, 3), keepdim=True).sqrt().clamp(min=1e-12)
