"""Weights from elsewhere: a state_dict saved by torch, or safetensors; unwrapped, read without running anything, and fitted by name."""

from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from robnas.errors import UserError, require
from robnas.models.foreign import near, refusal, refuse_other_formats

WRAPPERS = ("state_dict", "model_state_dict", "model", "network", "net", "weights", "params")
"""Keys under which training scripts keep the state_dict, the likeliest first."""

PREFIXES = ("module.", "_orig_mod.", "model.", "network.", "net.")
"""What DistributedDataParallel, torch.compile and modules around a network put before its names."""


def read(path: str | Path, *, unsafe_pickle: bool = False) -> dict[str, Tensor]:
    """Name → tensor, on the CPU.

    Args:
        path: a safetensors file, or what torch.save wrote of a state_dict, bare or under one of `WRAPPERS`.
        unsafe_pickle: read also a file that holds more than tensors and plain values, which can run any code.

    Raises:
        UserError: there is no such file, it is damaged, it would have to be unpickled, or it holds no state_dict.
    """
    path = Path(path)
    if not path.is_file():
        raise near(f"file in {path.parent}", path.name, [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else [])
    return _state_dict(_safetensors(path) if path.suffix == ".safetensors" else _torch(path, unsafe_pickle), path)


def fit(network: nn.Module, state: Mapping[str, Tensor], name: str, hint: str = "") -> None:
    """Put the weights into the network. Floating point may be of another width; whole numbers do for integers, however they are written.

    Args:
        hint: what to say where it is the number of classes that differs, which stands for {classes}.

    Raises:
        UserError: names the first weight that is missing, unexpected, of another shape or another kind of number, and how many are.
    """
    own = network.state_dict()
    state = without_prefix(state, own)
    missing, unexpected = [k for k in own if k not in state], [k for k in state if k not in own]
    if missing or unexpected:
        said = [_counted(keys, kind) for keys, kind in ((missing, "missing"), (unexpected, "unexpected")) if keys]
        raise UserError(f"the weights in {name} do not fit the network: {' and '.join(said)}, of {len(own)} that it has")
    other = [k for k in own if isinstance(own[k], Tensor) and own[k].shape != state[k].shape]
    if other:
        theirs, mine = list(state[other[0]].shape), list(own[other[0]].shape)
        head = len(other) <= 2 and theirs and all(state[k].shape[1:] == own[k].shape[1:] for k in other)  # the last layer's weight and bias
        more_said = hint.replace("{classes}", str(theirs[0])) if head else ""
        last = f": they are of {theirs[0]} classes, the network of {mine[0]}{more_said}" if head else ""
        more = f", and {len(other) - 1} more differ" if len(other) > 1 else ""
        raise UserError(f"the weights in {name} do not fit the network: {other[0]!r} is {theirs} there, but {mine} here{more}{last}")
    wrong = [k for k in own if isinstance(own[k], Tensor) and not _of_a_kind(state[k], own[k])]
    if wrong:
        more = f", and {len(wrong) - 1} more differ" if len(wrong) > 1 else ""
        kinds = f"{wrong[0]!r} is {_dtype(state[wrong[0]])} there, but {_dtype(own[wrong[0]])} here{more}"
        raise UserError(f"the weights in {name} do not fit the network: {kinds}: convert them (a quantised network needs its scales)")
    network.load_state_dict(dict(state))


def without_prefix(state: Mapping[str, Tensor], own: Mapping[str, Any]) -> dict[str, Tensor]:
    """Names as the network has them: a prefix that every name has, and that the network's do not all have, goes."""
    found = dict(state)
    while found and (prefix := next((p for p in PREFIXES if all(k.startswith(p) for k in found)), "")):
        if all(k.startswith(prefix) for k in own):
            break
        found = {k.removeprefix(prefix): v for k, v in found.items()}
    return found


def _of_a_kind(theirs: Tensor, mine: Tensor) -> bool:
    """Whether nothing but precision is lost by casting. Scripts that write all in half precision write counters so too."""
    if _kind(theirs) == _kind(mine):
        return True
    return _kind(mine) == "integer" and _kind(theirs) == "float" and torch.equal(theirs.to(mine.dtype).to(theirs.dtype), theirs)


def _kind(x: Tensor) -> str:
    if x.is_quantized:
        return "quantised"
    if x.is_floating_point():
        return "float"
    return "complex" if x.is_complex() else "bool" if x.dtype == torch.bool else "integer"


def _dtype(x: Tensor) -> str:
    return str(x.dtype).removeprefix("torch.")


def _safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read as safetensors: {' '.join(str(error).split())[:200]}") from error


def _torch(path: Path, unsafe_pickle: bool) -> Any:
    refuse_other_formats(path, "a state_dict saved by torch.save, or safetensors (with the ending .safetensors)")
    try:
        with torch.serialization.safe_globals([Namespace]):  # which timm keeps beside its weights; a bag of values
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        text = str(error)
        if "Unsupported" not in text and "weights_only" not in text.lower():
            raise UserError(f"{path} cannot be read: {(text.strip().splitlines() or [type(error).__name__])[0][:200]}") from error
        require(unsafe_pickle, refusal(path, "it holds more than tensors and plain values"))
        try:
            return torch.load(path, map_location="cpu", weights_only=False)
        except Exception as worse:
            raise UserError(f"{path} cannot be unpickled: {type(worse).__name__}: {' '.join(str(worse).split())[:200]}") from worse


def _state_dict(content: Any, path: Path) -> dict[str, Tensor]:
    if isinstance(content, nn.Module):
        return content.state_dict()
    for _ in range(2):  # {"model": {"state_dict": …}}
        if isinstance(content, Mapping) and not _is_state(content):
            content = next((content[k] for k in WRAPPERS if isinstance(content.get(k), Mapping | nn.Module)), content)
            content = content.state_dict() if isinstance(content, nn.Module) else content
    if not _is_state(content):
        keys = f" with the keys {', '.join(map(repr, list(content)[:5]))}" if isinstance(content, Mapping) else ""
        raise UserError(f"{path} holds no state_dict, bare or under {', '.join(WRAPPERS)}: it is a {type(content).__name__}{keys}")
    return {str(k): v for k, v in content.items()}


def _is_state(content: Any) -> bool:
    return isinstance(content, Mapping) and bool(content) and all(isinstance(v, Tensor) for v in content.values())


def _counted(keys: list[str], kind: str) -> str:
    return f"{keys[0]!r} is {kind}" if len(keys) == 1 else f"{len(keys)} are {kind} (first {keys[0]!r})"
