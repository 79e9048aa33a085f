"""A network as it is before its training, for a probe that is given it at any time."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from robnas import seeds
from robnas.errors import UserError, unknown
from robnas.initialise import INITIALISATIONS, kaiming_

BATCH = 128
"""Inputs whose moments batch norms take at once in `settled`, so that nothing depends on how a probe cuts its inputs."""


def begun(model: nn.Module, initialisation: str) -> nn.Module:
    """The same network with weights that the run's seed draws, in evaluation mode and frozen; norms as at their beginning.

    Args:
        model: changed in place for "kaiming".
        initialisation: "own", as the authors of its family draw, or "kaiming", alike for all families (`robnas.initialise`).

    Raises:
        UserError: "own" of a network that is not a `Classifier`'s, or "kaiming" for kinds of layers that it does not know.
    """
    if initialisation not in INITIALISATIONS:
        raise unknown("initialisation", initialisation, INITIALISATIONS)
    if initialisation == "kaiming":
        kaiming_(getattr(model, "network", model), seeds.of_run())
        return model
    draw = getattr(model, "untrained", None)
    if draw is None:
        raise UserError(f"initialisation: own is not known of a {type(model).__name__}, only of a Classifier; kaiming and null are allowed")
    like = next(model.parameters())
    drawn: nn.Module = draw("own").to(like.device, like.dtype)
    return drawn.eval().requires_grad_(False)


@torch.no_grad()
def settled(model: nn.Module, x: Tensor) -> nn.Module:
    """In place: batch norms get the moments of x [N, C, H, W], the mean over batches of 128, as their running statistics → `model`.

    Only they are in training mode meanwhile: nothing is dropped out.
    """
    norms = [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm) and m.track_running_stats]
    momenta = [m.momentum for m in norms]
    for m in norms:
        m.reset_running_stats()
        m.train().momentum = None  # the plain mean over batches
    full = x[: len(x) // BATCH * BATCH] if len(x) >= BATCH else x  # a small last batch would count as much as a full one
    for batch in torch.split(full, BATCH):
        model(batch)
    for m, momentum in zip(norms, momenta, strict=True):
        m.eval().momentum = momentum
    return model
