"""Natural evolution strategies as an attack (Ilyas et al., 2018): Eq. 10, Fig. 5."""

from dataclasses import replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from robnas.attacks import directions, norms
from robnas.attacks.base import Evasion
from robnas.attacks.goal import Goal
from robnas.attacks.state import State
from robnas.attacks.victim import BlackBox
from robnas.errors import require


class NES(Evasion):
    """Score-based evasion inside a ball: PGD, with a gradient that is estimated from probabilities.

    Args:
        eps: radius ε of the ball, in pixels of [0, 1].
        step_size: α of Eq. 15, same unit.
        steps: iterations after which a run has not succeeded. n_restarts: runs in all, each on what still resists.
        n_queries: n_query of Eq. 10, a step's images around the iterate; even, as they come in pairs. One more looks at the iterate itself.
        sigma: σ of Eq. 10, how far from the iterate they are, in pixels. They may lie outside [0, 1], as in the authors' code.
        random_start: start at a uniform point of the ball instead of at the input; without, a restart differs by its directions alone.
        goal: "untargeted", "most_likely" (the second class, c₂) or "least_likely" (the last class, c_m).
        norm: "linf" (a step is the sign of the gradient) or "l2" (a step of length α along it).
        confidence: probability that the wanted class must exceed for a success, see `PGD`.
        kwargs: max_inputs, only_correct and eot, see `Evasion`.
    """

    access = "score"
    scales: ClassVar[dict[str, dict[str, Any]]] = {"tiny": {"n_queries": 50, "max_inputs": 100}}

    def __init__(
        self,
        eps: float = 8 / 255,
        step_size: float = 2 / 255,
        steps: int = 20,
        n_restarts: int = 1,
        n_queries: int = 400,
        sigma: float = 1e-3,
        random_start: bool = False,
        goal: str = "untargeted",
        norm: str = "linf",
        confidence: float = 0.0,
        **kwargs: Any,
    ) -> None:
        self.norm, self.n_queries, self.sigma, self.confidence = norm, n_queries, sigma, confidence
        super().__init__(eps=eps, steps=steps, n_restarts=n_restarts, goal=goal, **kwargs)
        self.step_size, self.random_start = step_size, random_start

    def check(self) -> None:
        """Raise UserError for an argument out of range."""
        super().check()
        n, sigma = self.n_queries, self.sigma
        require(isinstance(n, int) and n >= 2 and n % 2 == 0, f"n_queries: {n} is not an even number ≥ 2 (images come in pairs)")
        require(isinstance(sigma, int | float) and 0 < sigma < torch.inf, f"sigma: {sigma} is not a distance above 0, in pixels of [0, 1]")
        require(0 <= self.confidence < 1, f"confidence: {self.confidence} is not a probability in [0, 1)")

    def wanted(self, clean: Tensor, y: Tensor) -> Goal:
        """What is wanted of each input."""
        return replace(super().wanted(clean, y), confidence=self.confidence)

    def start(self, s: State) -> Tensor:
        """s.x: [B, C, H, W] in [0, 1] → x_0, same shape."""
        return self.uniform_in_ball(s) if self.random_start else s.x

    def step(self, victim: BlackBox, s: State) -> Tensor:
        """Eq. 15 with ĝ of Eq. 10 in place of the gradient. What the iterate itself is taken for tells which inputs are done."""
        chunks = torch.split(torch.arange(len(s), device=s.x.device), directions.chunk(s.x))
        s.leave(s.goal.reached(torch.cat([logarithms(victim.scores(s.x_t[rows], rows)) for rows in chunks])) | ~s.answered)
        if not len(s):
            return s.x_t
        return self.project(s.x_t + self.step_size * norms.steepest(self.gradient(victim, s), self.norm), s.x)

    def gradient(self, victim: BlackBox, s: State) -> Tensor:
        """Eq. 10: ĝ = 1/(σ n) Σ_j (ℓ(x + σu_j) − ℓ(x − σu_j)) u_j over n/2 pairs, u_j ~ N(0, I): [B, C, H, W].

        ℓ is `losses` of the logarithm of the answered probabilities. Theirs is that of the wanted class alone; but where a model is sure,
        1 − p is 0 in float32 while the other classes' probabilities still tell the slope: so ours are log-odds, see `Goal.losses`.
        """
        pairs, names = self.n_queries // 2, s.streams(self.n_queries // 2)
        whole, block = directions.chunk(s.x), min(pairs, BLOCK)
        total = torch.zeros_like(s.x).flatten(1)
        for rows in torch.split(torch.arange(len(s), device=s.x.device), max(1, whole // (2 * block))):
            x = s.x_t[rows][:, None]
            for part in torch.split(names[rows], block, 1):
                u = directions.gaussian(part.reshape(-1), s.x).view(*part.shape, *s.x.shape[1:])
                images = torch.cat([torch.add(x, u, alpha=self.sigma), torch.add(x, u, alpha=-self.sigma)], 1)
                whose = rows.repeat_interleave(images.shape[1])
                answers = logarithms(victim.scores(images.flatten(0, 1), whose))
                losses = self.losses(s.goal.select(whose), answers).view(len(rows), 2, -1)
                total[rows] += torch.bmm((losses[:, 0] - losses[:, 1])[:, None].to(u.dtype), u.flatten(2))[:, 0]
        return total.view_as(s.x) / (self.sigma * self.n_queries)


def logarithms(p: Tensor) -> Tensor:
    """Of probabilities [n, m]: logits up to a constant. What underflows (below 1e-38 in float32) counts as that limit."""
    return p.clamp(min=torch.finfo(p.dtype).tiny).log()


BLOCK = 32
"""Pairs of one input that are asked at once: fixed, so that its sum is always made in the same order."""
