"""What makes logits [B, classes] in the data's order of what a network from elsewhere answers."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn


class OneLogit(nn.Module):
    """A binary network's z, the log-odds of class 1, as logits (0, z): their softmax is the sigmoid's, their argmax is z > 0."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        """x: [B, C, H, W] → [B, 2]; the network answers [B, 1] or [B]."""
        return two(self.network(x).reshape(x.shape[0], 1))


def two(z: Tensor) -> Tensor:
    """[B, 1] → [B, 2]."""
    return torch.cat([torch.zeros_like(z), z], 1)


class Reordered(nn.Module):
    """Logits in another order of classes: column i of the answer is column order[i] of the network's."""

    def __init__(self, network: nn.Module, order: Sequence[int]) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("order", torch.tensor(order), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """x: [B, C, H, W] → logits [B, classes]."""
        return self.network(x).index_select(1, self.order)  # type: ignore[no-any-return]


def fault(output: Any, n: int, one_logit: bool) -> str:
    """What is wrong with a network's answer to n images; "" where nothing is."""
    if not isinstance(output, Tensor):
        kind = f"{type(output).__name__} of {len(output)}" if hasattr(output, "__len__") else type(output).__name__
        return f"the model answers a {kind}; one tensor of logits [{n}, classes] is needed: wrap it in a module that returns the logits"
    shape = list(output.shape)
    if not output.is_floating_point():
        kind = str(output.dtype).removeprefix("torch.")
        return f"the model answers {shape} of {kind} to {n} images: labels are not enough, logits [{n}, classes] are needed"
    if one_logit and shape == [] and n == 1:  # squeezed all through
        return ""
    if one_logit:
        return "" if shape in ([n, 1], [n]) else f"the model answers {shape} to {n} images; a one-logit model answers [{n}, 1] or [{n}]"
    if shape in ([n, 1], [n]):
        return f"the model answers {shape} to {n} images, one number each: if that is the log-odds of class 1, say one_logit: true"
    if len(shape) != 2 or shape[0] != n:
        return f"the model answers {shape} to {n} images; logits [{n}, classes] are needed"
    return ""
