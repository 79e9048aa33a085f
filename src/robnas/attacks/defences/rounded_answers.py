"""A victim that says less than it knows: rounded probabilities, or the class alone (Tramèr et al., 2016, §7)."""

from __future__ import annotations

from lightning.pytorch import LightningModule, Trainer
from torch import Tensor
from torch.nn.functional import one_hot

from robnas.attacks.stealing.base import Stealing
from robnas.attacks.training import Defence
from robnas.data.base import ImageData
from robnas.errors import require


class RoundedAnswers(Defence):
    """Stands between a victim and the thief of the same `fit`. What is measured at the end is the victim's true answer against the replica.

    The thief knows nothing better than to scale what it is told so that it sums to 1.

    Args:
        digits: decimal places of each probability, at least 1; or "labels": the class alone, as a probability of 1.
    """

    def __init__(self, digits: int | str = 2) -> None:
        super().__init__()
        self.digits = digits
        require(digits == "labels" or (isinstance(digits, int) and digits >= 1), f"digits: {digits!r} is neither labels nor at least 1")

    def guard(self, p: Tensor) -> Tensor:
        """p: [n, m] → [n, m], what is handed out."""
        if isinstance(self.digits, int):
            return p.round(decimals=self.digits)
        return one_hot(p.argmax(1), p.shape[1]).to(p)

    def begin(self, trainer: Trainer, model: LightningModule, data: ImageData) -> None:
        """Raises UserError where nobody asks."""
        there = any(isinstance(c, Stealing) for c in trainer.callbacks)  # type: ignore[attr-defined]
        require(there, f"{self.name}: guards what a thief is told, but nothing in this fit steals (--attacks.knockoff=knockoff)")
