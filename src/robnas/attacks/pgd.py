"""Projected gradient descent (Madry et al., 2018): §3.2 and Eq. 15."""

from typing import Any

from torch import Tensor

from robnas.attacks import norms
from robnas.attacks.base import Evasion
from robnas.attacks.state import State
from robnas.attacks.victim import WhiteBox


class PGD(Evasion):
    """White-box evasion inside a ball.

    Args:
        eps: radius ε of the ball, in pixels of [0, 1]; "8/255" is understood in configs.
        step_size: α of Eq. 15, same unit.
        steps: iterations after which a run has not succeeded (Table 6: 3 most likely, 7 least likely).
        n_restarts: runs in all; each later run takes only the inputs that still resist.
        random_start: start at a uniform point of the ball instead of at the input. The paper does not say; restarts need it.
        goal: "untargeted", "most_likely" (the second class, c₂) or "least_likely" (the last class, c_m).
        norm: "linf", or "l2", where a step has length α and the direction of the gradient.
        kwargs: max_inputs and only_correct, see `Evasion`.
    """

    def __init__(
        self,
        eps: float = 8 / 255,
        step_size: float = 2 / 255,
        steps: int = 7,
        n_restarts: int = 5,
        random_start: bool = True,
        goal: str = "untargeted",
        norm: str = "linf",
        **kwargs: Any,
    ) -> None:
        self.norm = norm
        super().__init__(eps=eps, steps=steps, n_restarts=n_restarts, goal=goal, **kwargs)
        self.step_size, self.random_start = step_size, random_start

    def start(self, s: State) -> Tensor:
        """s.x: [B, C, H, W] in [0, 1] → x_0, same shape."""
        if not self.random_start:
            return s.x
        if self.norm == "l2":
            return self.project(s.x + norms.in_ball(s.normal(), s.uniform(shape=()), self.eps), s.x)
        return self.project(s.x + s.uniform(-self.eps, self.eps), s.x)

    def step(self, victim: WhiteBox, s: State) -> Tensor:
        """Eq. 15: x_{t+1} = Π(x_t + α · sgn ∇ℓ); in L2 ∇ℓ/‖∇ℓ‖₂ stands for the sign.

        The logits of this pass tell which inputs are done: they leave here.
        """
        logits, gradient = victim.logits_and_gradient(s.x_t, s.goal)
        s.leave(s.goal.reached(logits))
        return self.project(s.x_t + self.step_size * norms.steepest(s.keep(gradient), self.norm), s.x)
