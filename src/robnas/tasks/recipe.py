"""The recipe of Table 6: how fast the weights move, and when. Its options are off unless asked for."""

import math
from collections.abc import Iterable
from typing import Any

from torch import nn
from torch.optim import SGD, Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LambdaLR

from robnas.errors import require


def sgd(parameters: Iterable[nn.Parameter], learning_rate: float, momentum: float, weight_decay: float) -> SGD:
    """SGD with momentum; the decay acts on every parameter, as in the authors' code."""
    return SGD(parameters, learning_rate, momentum=momentum, weight_decay=weight_decay)


def schedule(optimizer: Optimizer, epochs: int, warmup: int = 0) -> Any:
    """A cosine from the learning rate to zero, in steps of an epoch; before it `warmup` epochs in which the rate rises in a line."""
    if not warmup:
        return CosineAnnealingLR(optimizer, epochs)
    return LambdaLR(optimizer, lambda epoch: share(epoch, epochs, warmup))


def share(epoch: int, epochs: int, warmup: int) -> float:
    """Of the full learning rate, which epoch number `warmup` is the first to have.

    Goyal et al. (2017) rise after every step; here the rate stands still within an epoch, as it does in the cosine.
    """
    if epoch < warmup:
        return (epoch + 1) / (warmup + 1)
    return 0.5 * (1 + math.cos(math.pi * (epoch - warmup) / (epochs - warmup)))


def require_epochs(epochs: int | None, warmup: int) -> None:
    """Raises UserError where a training has no end, towards which its learning rate could fall, or ends before it has warmed up."""
    known = epochs is not None and epochs > 0
    require(known, f"trainer.max_epochs: {epochs} is not positive; the cosine of the learning rate needs it")
    require(warmup < (epochs or 0), f"warmup_epochs: {warmup} leaves nothing of trainer.max_epochs: {epochs}")
