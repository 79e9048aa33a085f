"""The fast gradient sign method (Goodfellow et al., 2015), Eq. 1 of §4: a plug-in of robnas in a file."""

from robnas.attacks.base import Evasion


class FGSM(Evasion):
    """One step of size ε along the sign of the gradient.

    Args:
        eps: ε, in pixels of [0, 1].
        goal: "untargeted", "most_likely" or "least_likely".
    """

    def __init__(self, eps: float = 8 / 255, goal: str = "untargeted") -> None:
        super().__init__(eps=eps, steps=1, goal=goal)

    def step(self, victim, s):
        """x + ε · sgn ∇ℓ, inside [0, 1]."""
        _, gradient = victim.logits_and_gradient(s.x, s.goal)
        return self.project(s.x + self.eps * gradient.sign(), s.x)
