"""The clean model that a trojan one starts from, and the one that it is held against."""

from pathlib import Path
from typing import Any

from lightning.pytorch import LightningModule
from torch import nn

from robnas.attacks.poisoning import clean as twin
from robnas.copies import evaluation_copy
from robnas.errors import UserError, require

START = "start"
"""`clean`: the model of `init_from`."""


def source(model: LightningModule) -> str | None:
    """What training starts from: a run folder, checkpoint or export; None: from scratch."""
    return getattr(model, "init_from", None)


def of(trainer: Any, name: str | Path, model: LightningModule) -> nn.Module:
    """A frozen copy of a trained model, on the device and in the precision of the one that is trained."""
    require(hasattr(trainer, "load"), f"{name}: robnas's own Trainer is needed, which loads models")
    return evaluation_copy(trainer.load(name)).to(device=model.device, dtype=model.dtype)  # type: ignore[arg-type]


def start(trainer: Any, model: LightningModule) -> nn.Module:
    """What training starts from; without `init_from` the network as it was drawn. Raises UserError where that was attacked itself."""
    if (name := source(model)) is None:
        return evaluation_copy(getattr(model, "model", None) or model)
    found = trainer.load(name) if hasattr(trainer, "load") else None
    if before := getattr(found, "attacked", None):
        raise UserError(f"init_from: the training of {name} was itself attacked ({', '.join(before)}); a clean model is needed")
    return of(trainer, name, model)


def check(clean: str | None, model: LightningModule) -> None:
    """Before anything is trained. Raises UserError where a run is named that is not clean, or that there is not."""
    if clean == START:
        require(source(model) is not None, f"clean: {START}: this training starts from no other (--init_from RUN)")
    elif clean is not None:
        twin.check(clean)


def clean_model(trainer: Any, model: LightningModule, clean: str | None) -> tuple[nn.Module | None, tuple[str, ...]]:
    """What the trojan model is held against, and what makes the comparison doubtful. All ranks must ask."""
    if clean == twin.NONE:
        return None, ()
    if clean in (None, START) and (name := source(model)) is not None:
        return of(trainer, name, model), ()
    if clean in (None, twin.TRAIN):
        return of(trainer, trainer.clean_twin(), model), ()
    assert clean is not None
    return of(trainer, clean, model), twin.differences(trainer, Path(clean))
