"""What a final test answered for each input, on all ranks together."""

from typing import Any

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from robnas import collectives
from robnas.attacks.training import FinalTest


class PerInput(Callback):
    """Keeps index, label and the class that `test_step` returns for each input; three numbers an input."""

    def __init__(self) -> None:
        self._seen: list[Tensor] = []

    def on_test_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Nothing is kept where the model returns no classes or the batch has no index."""
        if isinstance(outputs, Tensor) and outputs.ndim == 1 and isinstance(batch, list | tuple) and len(batch) == 3:
            self._seen.append(torch.stack([batch[2], outputs, batch[1]]).cpu())

    def found(self) -> FinalTest:
        """In the order of the data set, each input once."""
        gathered = [t for seen in collectives.gather(self._seen) for t in seen]
        index, prediction, label = (torch.cat(gathered, 1) if gathered else torch.empty(3, 0, dtype=torch.int64)).numpy()
        _, first = np.unique(index, return_index=True)
        return FinalTest(index[first], prediction[first], label[first])
