"""TRADES (Zhang et al., 2019): accuracy on clean images against agreement around them, Eq. 5."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor

from robnas.attacks.goal import Goal


def divergence(clean: Tensor, logits: Tensor) -> Tensor:
    """KL(p(clean) ‖ p(adversarial)) of each input. [B, m] logits each → [B]. Differentiable in both, as in the authors' code."""
    log_p = clean.log_softmax(1)
    return (log_p.exp() * (log_p - logits.log_softmax(1))).sum(1)


@dataclass(frozen=True)
class Disagreement(Goal):
    """What the inner maximisation raises: the divergence from what the model says of the clean image, whatever the label.

    Args:
        clean: [B, m] those logits.
    """

    clean: Tensor = field(kw_only=True)

    def losses(self, logits: Tensor) -> Tensor:
        """[B, m] → [B]. Its gradient is zero on the clean image itself: an attack must start beside it."""
        return divergence(self.clean, logits)

    def select(self, rows: Tensor) -> Disagreement:
        """Of some inputs only."""
        return Disagreement(self.label[rows], clean=self.clean[rows])
