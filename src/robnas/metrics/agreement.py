"""How often two models answer the same class."""

import torch
from torch import Tensor

from robnas.metrics.share import Share


class Agreement(Share):
    """# inputs on which victim and replica answer the same class / # inputs, be it the right one or not."""

    higher_is_better = False

    def update(self, victim: Tensor, replica: Tensor) -> None:
        """Logits, [B, m] each."""
        same = victim.argmax(1) == replica.argmax(1)
        self.count(same, torch.ones_like(same))
