"""A share of inputs, counted over batches and ranks."""

from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric


class Share(Metric):
    """Σ hits / Σ counted; NaN before anything was counted. The base of every metric that is a proportion.

    Attributes:
        hits, counted: int64, of this rank until `compute` or `sync` adds up all ranks.
    """

    full_state_update = False
    higher_is_better: bool | None = None
    hits: Tensor
    counted: Tensor

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.add_state("hits", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")
        self.add_state("counted", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def count(self, hit: Tensor, among: Tensor) -> None:
        """Both [B] bool. A hit that is not among those counted is none."""
        self.hits += (hit & among).sum()
        self.counted += among.sum()

    def compute(self) -> Tensor:
        """[] float, in [0, 1] or NaN."""
        return self.hits / self.counted
