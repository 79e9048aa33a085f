"""What a network has and what it costs: parameters, and multiply-adds for one image. No memory for weights is needed."""

from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from robnas.models.build import build, describe
from robnas.space.size import Size


def size_of(
    network: str,
    *,
    num_classes: int = 10,
    image_shape: tuple[int, int, int] = (3, 32, 32),
    size: str = "paper",
    options: dict[str, Any] | None = None,
) -> Size:
    """Of a network by name, as in `build`; image_shape: (C, H, W).

    Raises:
        UserError: what `describe` and `build` refuse.
    """
    with torch.device("meta"):
        return count(build(describe(network), num_classes=num_classes, image_shape=image_shape, size=size, options=options), image_shape)


def count(network: nn.Module, image_shape: tuple[int, int, int]) -> Size:
    """Of a module on the meta device, which is in evaluation mode afterwards; an auxiliary head's parameters count, its work does not.

    FLOPs are multiply-adds of convolutions and matrix products, as papers on architectures count them; torch's counter counts each as
    two operations. Norms, activations, pools and sums are not counted.
    """
    with torch.device("meta"), torch.no_grad(), FlopCounterMode(display=False) as counter:
        network.eval()(torch.empty(1, *image_shape))
    return Size(sum(p.numel() for p in network.parameters()), counter.get_total_flops() // 2)
