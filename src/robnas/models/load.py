"""A trained model, ready to be asked: of a run, of an export, or of the user's own, e.g. `robnas.load("runs/classify/3fa9c1…")`."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from robnas.checkpoint_file import read
from robnas.errors import UserError, require, unknown
from robnas.models import export, foreign, foreign_weights
from robnas.models.build import with_weights
from robnas.models.foreign_logits import OneLogit
from robnas.models.normalize import Normalized

KINDS = ("last", "best")


def load(
    source: str | Path | nn.Module,
    checkpoint: str = "last",
    *,
    weights: str | Path | None = None,
    arguments: Mapping[str, Any] | None = None,
    mean: float | Sequence[float] | None = None,
    std: float | Sequence[float] | None = None,
    one_logit: bool = False,
    unsafe_pickle: bool = False,
) -> nn.Module:
    """A model in evaluation mode, in single precision on the CPU: pixels in [0, 1] → logits.

    Args:
        source: a run folder of `robnas fit`, one of its checkpoint files, a folder of `robnas export`; or a network of your own: an import
            path ("mypackage.nets.Net", "net.py:Net"), "timm:NAME" (nothing is downloaded), a TorchScript file (a program: what it computes
            is run, so trust it as you trust code), a `torch.nn.Module`. A module without any of the options below is returned as it is;
            with them, a copy of it is: the caller's keeps its mode, precision and weights.
        checkpoint: "last" or "best" (on validation), where `source` is a run folder.
        weights: of an own network: a state_dict saved by torch, or safetensors.
        arguments: of an own network's constructor.
        mean, std: normalisation of an own network, a number a channel or one for all, in pixels of [0, 1]; none if not given. robnas's own
            have theirs.
        one_logit: the network answers with one number, the log-odds of class 1 of two.
        unsafe_pickle: read files that can run any code while they are read: pickled modules, archives of torch.export.

    Raises:
        UserError: nothing is there, it is cut off or damaged, weights do not fit, or it is not a checkpoint of a classifier.
    """
    mean, std = _numbers(mean), _numbers(std)
    own = {"weights": weights, "arguments": arguments, "mean": mean, "std": std, "one_logit": one_logit}
    given = [name for name, value in own.items() if value]
    if isinstance(source, nn.Module) and not given:
        return source
    if checkpoint not in KINDS:
        raise unknown("checkpoint", checkpoint, KINDS)
    if not isinstance(source, nn.Module):
        path = Path(source)
        ours = export.is_export(path) or path.is_dir() or path.suffix == ".ckpt" or not foreign.is_foreign(str(source))
        if ours:
            require(not given, f"{', '.join(given)}: {source} is a model of robnas's, which has its own")
            return export.load(path) if export.is_export(path) else _of_a_run(path, checkpoint)
    means, stds = _normalisation(mean, std)
    network = (
        foreign.own_copy(source) if isinstance(source, nn.Module) else foreign.network(str(source), arguments, unsafe_pickle=unsafe_pickle)
    )
    if weights is not None:
        state = foreign_weights.read(weights, unsafe_pickle=unsafe_pickle)
        foreign_weights.fit(
            network, state, str(weights), hint=" (--model.arguments.num_classes={classes})" if str(source).startswith("timm:") else ""
        )
    return Normalized(OneLogit(network) if one_logit else network, means, stds).float().eval()


def from_checkpoint(content: Mapping[str, Any], name: str) -> Normalized:
    """The model of a Classifier's checkpoint: architecture from its hyper-parameters, weights from its state.

    Raises:
        UserError: it is of another task, or its weights do not fit its architecture, as where a plug-in has changed.
    """
    architecture = content.get("hyper_parameters")
    if not isinstance(architecture, Mapping) or "description" not in architecture:
        raise UserError(f"{name} is not a checkpoint of a classifier")
    state = {k.removeprefix("model."): v for k, v in content["state_dict"].items() if k.startswith("model.")}
    model = with_weights(architecture, state, name)
    model.attacked, model.defended = dict(architecture.get("attacked", {})), dict(architecture.get("defended", {}))
    return model


def _of_a_run(path: Path, checkpoint: str) -> Normalized:
    if path.is_dir():
        path = path / "checkpoints" / f"{checkpoint}.ckpt"
    if not path.is_file():
        raise UserError(
            f"no checkpoint at {path}: give a run folder of `robnas fit` or `robnas export`, or a .ckpt file; "
            "a model of your own is net.py:Net, mypackage.Net, timm:NAME or model.pt"
        )
    return from_checkpoint(read(path), str(path))


def _numbers(values: float | Sequence[float] | None) -> list[float] | None:
    return None if values is None else [float(v) for v in ([values] if isinstance(values, int | float) else values)]


def _normalisation(mean: Sequence[float] | None, std: Sequence[float] | None) -> tuple[list[float], list[float]]:
    """Raises UserError unless both are given or none, with a number a channel."""
    require((mean is None) == (std is None), f"{'std' if std is None else 'mean'}: mean and std are given together, or neither")
    if mean is None or std is None:
        return [0.0], [1.0]
    require(
        len(mean) == len(std) >= 1,
        f"mean, std: {len(mean)} and {len(std)} numbers; each needs one a channel, such as [0.5, 0.5, 0.5], or both one for all",
    )
    require(all(s > 0 for s in std), f"std: {list(std)} is not positive")
    units = "they are in pixels of [0, 1]: divide by 255"
    require(all(0 <= m <= 1 for m in mean) and all(s <= 1 for s in std), f"mean {list(mean)}, std {list(std)}: {units}")
    return list(mean), list(std)
