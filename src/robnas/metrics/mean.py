"""A mean over inputs of what is known of whole batches."""

import torch
from torch import Tensor
from torchmetrics import Metric


class BatchMean(Metric):
    """Σ n · value / Σ n. torchmetrics' own mean waits for the device to look for NaN, or, where it is told not to, loses the weights."""

    full_state_update = False
    total: Tensor
    count: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("total", torch.tensor(0.0), dist_reduce_fx="sum")
        self.add_state("count", torch.tensor(0.0), dist_reduce_fx="sum")

    def update(self, value: Tensor, n: int) -> None:
        """value: a scalar, the mean over `n` inputs."""
        self.total += value * n
        self.count += n

    def compute(self) -> Tensor:
        """Over all inputs of all ranks."""
        return self.total / self.count
