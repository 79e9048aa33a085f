"""A trained model read back: `robnas.load("runs/classify/3fa9c1…")`."""

from pathlib import Path
from typing import Any

import torch
from torch import nn

from robnas.errors import UserError
from robnas.models.build import build
from robnas.models.normalize import Normalized


def load(source: str | Path | nn.Module, checkpoint: str = "last") -> nn.Module:
    """A model in evaluation mode, pixels in [0, 1] → logits.

    Args:
        source: a run folder of `robnas fit`, one of its checkpoint files, or a module of your own, which is returned as it is.
        checkpoint: "last" or "best" (on validation), where `source` is a run folder.

    Raises:
        UserError: nothing is there, or it is not a checkpoint of a classifier.
    """
    if isinstance(source, nn.Module):
        return source
    path = Path(source)
    if path.is_dir():
        path = path / "checkpoints" / f"{checkpoint}.ckpt"
    if not path.is_file():
        raise UserError(f"no checkpoint at {path}: give a run folder of `robnas fit` or a .ckpt file")
    return from_checkpoint(read(path), str(path))


def read(path: Path) -> dict[str, Any]:
    """A checkpoint's contents; nothing in it is executed. Raises UserError where it is cut off or foreign."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True)  # type: ignore[no-any-return]
    except Exception as error:  # zip, pickle and torch each raise their own
        raise UserError(f"{path} cannot be read as a checkpoint: {str(error).splitlines()[0]}") from error


def from_checkpoint(content: dict[str, Any], name: str) -> nn.Module:
    """The model of a Classifier's checkpoint: architecture from its hyper-parameters, weights from its state."""
    hyper = content.get("hyper_parameters", {})
    if "description" not in hyper:
        raise UserError(f"{name} is not a checkpoint of a classifier")
    network = build(
        hyper["description"],
        num_classes=hyper["num_classes"],
        image_shape=tuple(hyper["image_shape"]),
        size=hyper["size"],
        options=hyper["options"],
    )
    model = Normalized(network, hyper["mean"], hyper["std"])
    weights = {k.removeprefix("model."): v for k, v in content["state_dict"].items() if k.startswith("model.")}
    model.load_state_dict(weights)
    return model.eval()
