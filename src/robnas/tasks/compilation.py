"""`torch.compile` as an option of a training: what it cannot do is said in one line."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from robnas.errors import UserError, require


def compile_(network: nn.Module, options: Mapping[str, Any]) -> None:
    """In place, on the first call: names and values of weights stay, and a copy of the network is an ordinary one.

    Raises UserError where the network changes from epoch to epoch, and would be compiled as often.
    """
    require(not options.get("drop_path"), "compile_network: with drop_path the network would be compiled anew in every epoch")
    network.compile()


def run(model: nn.Module, x: Tensor) -> Tensor:
    """`model(x)`, compiled while it is trained; evaluation, whose last batch is a shorter one, is not worth the minutes.

    Raises UserError where there is no compiler, or none that can do it.
    """
    if not model.training:
        with torch.compiler.set_stance("force_eager"):
            return model(x)  # type: ignore[no-any-return]
    from torch._dynamo.exc import BackendCompilerFailed

    try:
        return model(x)  # type: ignore[no-any-return]
    except BackendCompilerFailed as error:
        raise UserError(f"compile_network: {str(error).partition(chr(10))[0]}") from error
