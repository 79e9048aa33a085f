"""The clean model that a trojan one starts from, and the one that it is held against."""

from collections.abc import Mapping, Sequence
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
    return _beside(_loaded(trainer, name), model)


def start(trainer: Any, model: LightningModule, name: str | None) -> nn.Module:
    """The trained model of that name; without one the network as it was drawn. Raises UserError where that was attacked itself, or is
    for other classes or images."""
    if name is None:
        return evaluation_copy(getattr(model, "model", None) or model)
    found = _loaded(trainer, name)
    if before := getattr(found, "attacked", None):
        raise UserError(f"the training of {name} was itself attacked ({', '.join(before)}); a clean model is needed")
    theirs, ours = _for(found), _for(model)
    if None not in (*theirs, *ours):  # a model of others says nothing of its data
        require(theirs == ours, f"{name} is for {_data(*theirs)}; this fit is for {_data(*ours)}")
    return _beside(found, model)


def _for(model: nn.Module) -> tuple[Any, Any]:
    known: Mapping[str, Any] = getattr(model, "architecture", None) or {}
    return known.get("num_classes"), known.get("image_shape")


def _data(classes: int, shape: Sequence[int]) -> str:
    return f"{classes} classes of images of {'×'.join(map(str, shape))}"


def _loaded(trainer: Any, name: str | Path) -> nn.Module:
    require(hasattr(trainer, "load"), f"{name}: robnas's own Trainer is needed, which loads models")
    found: nn.Module = trainer.load(name)
    return found


def _beside(found: nn.Module, model: LightningModule) -> nn.Module:
    return evaluation_copy(found).to(device=model.device, dtype=model.dtype)  # type: ignore[arg-type]


def check(clean: str | None, model: LightningModule, dataset: str | None = None) -> None:
    """Before anything is trained. Raises UserError where a run is named that is not clean, is of other data than `dataset`, or is none."""
    if clean == START:
        require(source(model) is not None, f"clean: {START}: this training starts from no other (--init_from RUN)")
    elif clean is not None:
        twin.check(clean, dataset)


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
