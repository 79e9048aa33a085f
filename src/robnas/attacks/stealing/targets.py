"""What the replica is trained on: the victim's answers in the place of labels."""

from __future__ import annotations

import torch
from torch import Tensor


class SoftLabels:
    """index: [B] of inputs that were asked about → [B, m] what the victim answered.

    Args:
        index: [Q], each once.
        rows: [Q, m], each sums to 1; in the replica's precision.
    """

    def __init__(self, index: Tensor, rows: Tensor) -> None:
        order = index.argsort()
        self._index, self._rows = index[order], rows[order]

    def __call__(self, index: Tensor) -> Tensor:
        """On the device of `index`, where the table stays from then on."""
        if self._index.device != index.device:
            self._index, self._rows = self._index.to(index.device), self._rows.to(index.device)
        return self._rows[torch.searchsorted(self._index, index)]
