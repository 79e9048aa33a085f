"""A trained model read back: `robnas.load("runs/classify/3fa9c1…")`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from robnas.checkpoint_file import read
from robnas.errors import UserError, unknown
from robnas.models.build import of_architecture
from robnas.models.normalize import Normalized

KINDS = ("last", "best")


def load(source: str | Path | nn.Module, checkpoint: str = "last") -> nn.Module:
    """A model in evaluation mode, in single precision on the CPU: pixels in [0, 1] → logits.

    Args:
        source: a run folder of `robnas fit`, one of its checkpoint files, or a module of your own, which is returned as it is.
        checkpoint: "last" or "best" (on validation), where `source` is a run folder.

    Raises:
        UserError: nothing is there, it is cut off or damaged, or it is not a checkpoint of a classifier.
    """
    if isinstance(source, nn.Module):
        return source
    if checkpoint not in KINDS:
        raise unknown("checkpoint", checkpoint, KINDS)
    path = Path(source)
    if path.is_dir():
        path = path / "checkpoints" / f"{checkpoint}.ckpt"
    if not path.is_file():
        raise UserError(f"no checkpoint at {path}: give a run folder of `robnas fit` or a .ckpt file")
    return from_checkpoint(read(path), str(path))


def from_checkpoint(content: Mapping[str, Any], name: str) -> Normalized:
    """The model of a Classifier's checkpoint: architecture from its hyper-parameters, weights from its state.

    Raises:
        UserError: it is of another task, or its weights do not fit its architecture, as where a plug-in has changed.
    """
    architecture = content.get("hyper_parameters")
    if not isinstance(architecture, Mapping) or "description" not in architecture:
        raise UserError(f"{name} is not a checkpoint of a classifier")
    with torch.random.fork_rng([]):  # weights are drawn, and then read: the caller's own draws stay as they are
        model = of_architecture(architecture)
    try:
        model.load_state_dict({k.removeprefix("model."): v for k, v in content["state_dict"].items() if k.startswith("model.")})
    except RuntimeError as error:
        first = str(error).splitlines()[1:2] or [str(error)]
        raise UserError(
            f"{name}: the weights do not fit network {architecture['description']['name']}: {first[0].strip()[:200]}"
        ) from error
    return model.eval()
