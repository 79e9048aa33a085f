"""A copy of a model to look at, so that whoever handed it over gets it back as it was."""

import copy
from collections.abc import Mapping
from hashlib import blake2b
from typing import Any

import torch
from torch import Tensor, nn


def evaluation_copy(model: nn.Module) -> nn.Module:
    """The same function in evaluation mode and frozen; `model` stays as it was, whatever happens to the copy.

    Works inside `torch.inference_mode` too: the copy can be differentiated.
    """
    with torch.inference_mode(False), torch.no_grad():
        # What a training pass left behind (auxiliary logits, say) hangs on a graph, which `deepcopy` refuses.
        memo = {id(v): v.detach().clone() for m in model.modules() for v in vars(m).values() if isinstance(v, Tensor) and not v.is_leaf}
        twin = copy.deepcopy(model, memo).eval().requires_grad_(False)
        for p in twin.parameters():
            p.grad = None
    return twin


def digest(model: nn.Module) -> str:
    """12 hexadecimal digits that name the weights and buffers: equal for equal bits."""
    return digest_of_state(model.state_dict())


def digest_of_state(state: Mapping[str, Any]) -> str:
    """The same of a `state_dict`, such as a checkpoint has."""
    names = blake2b(digest_size=6)
    for name, value in sorted(state.items()):
        if isinstance(value, Tensor):
            names.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
            names.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return names.hexdigest()
