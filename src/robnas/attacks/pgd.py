"""Projected gradient descent (Madry et al., 2018): §3.2 and Eq. 15."""

from dataclasses import replace
from typing import Any

from torch import Tensor, nn

from robnas.attacks import losses, norms
from robnas.attacks.base import Evasion
from robnas.attacks.goal import Goal
from robnas.attacks.state import State
from robnas.attacks.victim import Victim, WhiteBox
from robnas.errors import require, unknown


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
        loss: "log_odds" (see `Goal.losses`), "cross_entropy", "margin" or "dlr" (see `losses`). If not given: log_odds, or
            cross_entropy where `exact`.
        exact: all inputs take all steps, on the model as it was handed over. In L∞ and from the input itself (random_start false) the
            images are then bit for bit those of foolbox and torchattacks; of every input, with only_correct false. Costs what they cost.
        confidence: probability that the wanted class must exceed for a success; 0: being the largest will do. The paper says the class
            alone; its authors' code has 0.99.
        kwargs: max_inputs, only_correct and eot, see `Evasion`.
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
        loss: str | None = None,
        exact: bool = False,
        confidence: float = 0.0,
        **kwargs: Any,
    ) -> None:
        self.norm, self.exact, self.confidence = norm, exact, confidence
        self.loss = loss or ("cross_entropy" if exact else "log_odds")
        super().__init__(eps=eps, steps=steps, n_restarts=n_restarts, goal=goal, **kwargs)
        self.step_size, self.random_start = step_size, random_start

    def check(self) -> None:
        """Raise UserError for an argument out of range."""
        super().check()
        if self.loss not in losses.NAMED:
            raise unknown("loss", str(self.loss), losses.NAMED)
        require(0 <= self.confidence < 1, f"confidence: {self.confidence} is not a probability in [0, 1)")

    def prepare(self, model: nn.Module | Victim) -> Victim:
        """The fast copy; where `exact`, the model as it was handed over."""
        return Victim.prepare(model, fast=False).as_given() if self.exact else super().prepare(model)

    def wanted(self, clean: Tensor, y: Tensor) -> Goal:
        """What is wanted of each input."""
        goal = super().wanted(clean, y)
        return replace(goal, confidence=self.confidence) if self.confidence else goal

    def losses(self, goal: Goal, logits: Tensor) -> Tensor:
        """ℓ of Eq. 15 by its name: [B, m] → [B]."""
        return losses.named(self.loss, goal, logits)

    def start(self, s: State) -> Tensor:
        """s.x: [B, C, H, W] in [0, 1] → x_0, same shape."""
        return self.uniform_in_ball(s) if self.random_start else s.x

    def step(self, victim: WhiteBox, s: State) -> Tensor:
        """Eq. 15: x_{t+1} = Π(x_t + α · sgn ∇ℓ); in L2 ∇ℓ/‖∇ℓ‖₂ stands for the sign.

        The logits of this pass tell which inputs are done: they leave here.
        """
        logits, gradient = victim.logits_and_gradient(s.x_t, s.goal)
        if not self.exact:
            s.leave(s.goal.reached(logits))
        return self.project(s.x_t + self.step_size * norms.steepest(s.keep(gradient), self.norm), s.x)
