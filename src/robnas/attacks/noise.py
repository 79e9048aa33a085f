"""Random noise as an attack: what every other attack must beat (Athalye et al., 2018; Carlini et al., 2019)."""

from typing import Any, ClassVar

from torch import Tensor

from robnas.attacks.base import Evasion
from robnas.attacks.boundary import column
from robnas.attacks.square import signs
from robnas.attacks.state import State
from robnas.attacks.victim import BlackBox
from robnas.errors import require, unknown

DRAWS = ("both", "uniform", "border")


class Noise(Evasion):
    """Label-only evasion inside a ball: images drawn at random, one a query, until one reaches the goal. None depends on another.

    Args:
        eps: radius ε of the ball, in pixels of [0, 1].
        n_queries: images that are drawn.
        draw: "uniform" in the ball; "border": a random corner (±ε in every pixel) in L∞, on the sphere in L2; "both" by turns. All are cut
            to [0, 1].
        goal: "untargeted", "most_likely" or "least_likely".
        norm: "linf" or "l2".
        kwargs: max_inputs, only_correct and eot, see `Evasion`.
    """

    access = "label"
    scales: ClassVar[dict[str, dict[str, Any]]] = {"tiny": {"n_queries": 50}}

    def __init__(
        self, eps: float = 8 / 255, n_queries: int = 100, draw: str = "both", goal: str = "untargeted", norm: str = "linf", **kwargs: Any
    ) -> None:
        self.norm, self.n_queries, self.draw = norm, n_queries, draw
        super().__init__(eps=eps, steps=n_queries, goal=goal, **kwargs)

    def check(self) -> None:
        """Raise UserError for an argument out of range."""
        require(isinstance(self.n_queries, int) and self.n_queries >= 1, f"n_queries: {self.n_queries} is not a whole number ≥ 1")
        if self.draw not in DRAWS:
            raise unknown("draw", str(self.draw), DRAWS)
        super().check()

    def start(self, s: State) -> Tensor:
        """The first image."""
        return self.drawn(s, 0)

    def step(self, victim: BlackBox, s: State) -> Tensor:
        """One query. What the image is taken for tells which inputs are done; the others get another image, while there are queries."""
        s.leave(s.goal.reached_by(victim.labels(s.x_t)))
        return self.drawn(s, s.t + 1) if s.t + 1 < self.steps else s.x_t

    def drawn(self, s: State, n: int) -> Tensor:
        """The n-th image of each input, counted from 0: [B, C, H, W]."""
        if self.draw == "uniform" or (self.draw == "both" and n % 2 == 0):
            return self.uniform_in_ball(s)
        if self.norm == "linf":
            return self.project(s.x + self.reach(s.x) * signs(s.uniform()), s.x)
        direction = s.normal()
        radius = self.reach(s.x) / direction.flatten(1).norm(dim=1)
        return self.project(s.x + direction * column(radius, direction), s.x)
