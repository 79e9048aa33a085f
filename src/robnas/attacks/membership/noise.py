"""Robustness to noise as a sign of membership (Choquette-Choo et al., 2021): labels alone, for a hundredth of HopSkipJump's queries."""

from typing import Any, ClassVar

import torch
from torch import Tensor

from robnas.attacks.membership.base import Membership
from robnas.attacks.state import State
from robnas.attacks.victim import BlackBox
from robnas.errors import require


class NoiseRobustness(Membership):
    """Membership by labels under noise: the share of noisy copies of an input that are still given its label, over several strengths.

    A stand-in for the distance to the boundary. Of Choquette-Choo et al. (2021), who tune one σ on shadow models; several σ need none:
    each tells apart inputs at another distance. Pixels are cut to [0, 1]. The input itself is asked too: where it is given another
    label the score is −1, below all others.

    Args:
        sigmas: standard deviations of the Gaussian noise, in pixels of [0, 1].
        copies: of each input at each σ.
        kwargs: see `Membership`.
    """

    access: ClassVar[str] = "label"
    scales: ClassVar[dict[str, dict[str, Any]]] = {"tiny": {"max_inputs": 300, "copies": 25}}

    def __init__(self, sigmas: tuple[float, ...] | list[float] = (0.02, 0.05, 0.1, 0.2), copies: int = 50, **kwargs: Any) -> None:
        self.sigmas, self.copies = list(sigmas), copies
        super().__init__(**kwargs)
        require(len(self.sigmas) > 0, "sigmas: [] has no standard deviation")
        for sigma in self.sigmas:
            require(isinstance(sigma, int | float) and 0 < sigma < 10, f"sigmas: {sigma} is not a number above 0, in pixels of [0, 1]")
        require(isinstance(copies, int) and copies >= 1, f"copies: {copies} is not a whole number ≥ 1")

    def score(self, victim: BlackBox, s: State) -> Tensor:
        """Share in [0, 1], or −1."""
        right, kept = victim.labels(s.x) == s.y, torch.zeros_like(s.y)
        for sigma in self.sigmas:
            for _ in range(self.copies):
                kept += victim.labels((s.x + sigma * s.normal()).clamp(0, 1)) == s.y
        share = kept.double() / (self.copies * len(self.sigmas))
        return torch.where(right, share, -torch.ones_like(share))
