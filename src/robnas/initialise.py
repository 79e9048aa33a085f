"""Kaiming initialisation (He et al., 2015) for any network, so that models of all families can be compared before they are trained."""

import torch
from torch import nn
from torch.nn.modules.conv import _ConvNd

from robnas import seeds
from robnas.errors import UserError

INITIALISATIONS = ("own", "kaiming")
"""What a family's authors draw, or `kaiming_` for all alike."""

_NORMS = (nn.modules.batchnorm._BatchNorm, nn.GroupNorm, nn.LayerNorm)


@torch.no_grad()
def kaiming_(network: nn.Module, *keys: int | str) -> None:
    """Weights of convolutions and linear layers from N(0, 2 / fan_in), the last layer's too; biases 0; norms 1 and 0.

    Every tensor is drawn from a stream of its own, given by the keys and its name: equal on all ranks, whatever else the network holds.
    Running statistics begin anew. Raises UserError for parameters of any other kind of layer, of which the paper does not speak.
    """
    for name, module in network.named_modules():
        own = dict(module.named_parameters(recurse=False))
        if isinstance(module, _ConvNd | nn.Linear):
            drawn = torch.empty(module.weight.shape, dtype=module.weight.dtype)  # in one layout: draws follow the order in memory
            nn.init.kaiming_normal_(drawn, nonlinearity="relu", generator=seeds.generator(*keys, "kaiming", name))
            module.weight.copy_(drawn)
        elif isinstance(module, _NORMS):
            if module.weight is not None:
                nn.init.ones_(module.weight)
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.reset_running_stats()
        elif own:
            raise UserError(f"initialisation: kaiming knows no weights of a {type(module).__name__} ({name or 'the network itself'})")
        if own.get("bias") is not None:
            nn.init.zeros_(own["bias"])
