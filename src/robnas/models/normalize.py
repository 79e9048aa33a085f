"""Normalisation inside the model, so that attacks and probes see pixels in [0, 1] and nothing else."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn


class Normalize(nn.Module):
    """(x − mean) / std per channel. x: [B, C, H, W] in [0, 1].

    Args:
        mean: one number a channel, in pixels of [0, 1].
        std: one number a channel, same unit, positive.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).view(-1, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(-1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """x: [B, C, H, W] → same shape."""
        return (x - self.mean) / self.std


class Normalized(nn.Module):
    """A network behind its normalisation: pixels in [0, 1] → logits.

    Attributes:
        architecture: what `models.build.of_architecture` made it of, with its class names; None for a network from elsewhere.
        attacked, defended: by name, how the training of these weights was attacked, and protected.
    """

    architecture: Mapping[str, Any] | None = None
    attacked: Mapping[str, Any] = MappingProxyType({})
    defended: Mapping[str, Any] = MappingProxyType({})

    def __init__(self, network: nn.Module, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.normalize = Normalize(mean, std)
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        """x: [B, C, H, W] in [0, 1] → logits [B, classes]."""
        return self.network(self.normalize(x))  # type: ignore[no-any-return]
