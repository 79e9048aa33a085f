"""What of the average cross entropy is the replica's: without the victim's own entropy."""

import torch
from torch import Tensor

from robnas.metrics.average_cross_entropy import PerInputMean


class Divergence(PerInputMean):
    """E KL(f(x) ‖ f̂(x)) = ACE − E H(f(x)), in nats: 0 for a copy of the victim, however sure or unsure that is.

    The paper reports ACE, in which a victim that is less sure looks harder to steal.
    """

    def update(self, victim: Tensor, replica: Tensor) -> None:
        """Logits, [B, m] each."""
        self.add(divergence(victim, replica))


def divergence(victim: Tensor, replica: Tensor) -> Tensor:
    """Logits, [B, m] each → [B] Σ p (log p − log q) with p of the victim, q of the replica."""
    p, log_p, log_q = victim.double().softmax(1), victim.double().log_softmax(1), replica.double().log_softmax(1)
    return torch.where(p > 0, p * (log_p - log_q), 0.0).sum(1)
