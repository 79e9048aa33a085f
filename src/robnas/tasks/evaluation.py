"""What a supernet is worth as it is mixed now: loss and accuracy in validation and test, with running statistics."""

from abc import ABC, abstractmethod
from typing import Any

from lightning.pytorch import LightningModule
from torch import Tensor
from torch.nn.functional import cross_entropy


class Evaluation(LightningModule, ABC):
    """The loops of Lightning that train nothing. A subclass says what is computed."""

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """x: [B, C, H, W] in [0, 1] → logits [B, classes]."""

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        """Loss and accuracy of the supernet on the validation data."""
        self._evaluate(batch, "valid")

    def test_step(self, batch: Any, batch_idx: int) -> None:
        """Loss and accuracy of the supernet on the test data."""
        self._evaluate(batch, "test")

    def predict_step(self, batch: Any, batch_idx: int) -> Tensor:
        """Class probabilities [B, classes] of the supernet."""
        return self(batch[0]).softmax(-1)  # type: ignore[no-any-return]

    def _evaluate(self, batch: Any, split: str) -> None:
        logits = self(batch[0])
        self._log(split, cross_entropy(logits, batch[1]), logits, batch[1])

    def _log(self, split: str, loss: Tensor, logits: Tensor, y: Tensor, **when: bool) -> None:
        accuracy = (logits.argmax(1) == y).float().mean()
        self.log_dict({f"{split}/loss": loss, f"{split}/accuracy": accuracy}, prog_bar=True, sync_dist=True, batch_size=len(y), **when)  # type: ignore[arg-type]
