"""Average cross entropy (ACE): Eq. 8 and Fig. 9."""

import torch
from torch import Tensor
from torchmetrics import Metric


class PerInputMean(Metric):
    """Σ values / number of inputs, in double precision; NaN before anything was counted. The base of metrics that are means over inputs."""

    full_state_update = False
    higher_is_better = False
    total: Tensor
    count: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("total", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("count", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def add(self, values: Tensor) -> None:
        """values: [B]."""
        self.total += values.double().sum()
        self.count += values.numel()

    def compute(self) -> Tensor:
        """[] over all inputs of all ranks."""
        return self.total / self.count


class AverageCrossEntropy(PerInputMean):
    """E H(f(x), f̂(x)): the loss ℓ of Eq. 8 between the victim's and the replica's answers, in nats. Lower: more has been stolen.

    Its least value is the victim's own entropy, not 0: see `Divergence`.
    """

    def update(self, victim: Tensor, replica: Tensor) -> None:
        """Logits, [B, m] each."""
        self.add(cross_entropy(victim, replica))


def cross_entropy(victim: Tensor, replica: Tensor) -> Tensor:
    """Logits, [B, m] each → [B] −Σ p log q with p of the victim, q of the replica; a class that the victim rules out counts nothing."""
    p = victim.double().softmax(1)
    return -torch.where(p > 0, p * replica.double().log_softmax(1), 0.0).sum(1)
