"""ResNet (He et al., 2016); the paper's choice is ResNet-18."""

from typing import Any

from torch import nn

from robnas.models.manual.residual import DEPTHS, residual_network
from robnas.models.manual.surgery import chosen, family, of_depth

SIZES: dict[str, dict[str, Any]] = {"paper": {"depth": 18, "width": 64}, "tiny": {"depth": 10, "width": 16}}


@family
def resnet(
    num_classes: int, image_shape: tuple[int, int, int], size: str = "paper", depth: int | None = None, width: int | None = None
) -> nn.Module:
    """ResNet (He et al., 2016), by default ResNet-18.

    Images [C, H, W] → logits.

    Args:
        num_classes: length of a row of logits.
        image_shape: (C, H, W).
        size: "paper" or "tiny"; what depth and width are where they are not given.
        depth: layers: 10, 18, 26, 34, 50, 101 or 152.
        width: channels of the first stage (64).

    Raises UserError for any other size or depth.
    """
    options = chosen(SIZES, size, depth=depth, width=width)
    block, blocks = of_depth(DEPTHS, options["depth"], "resnet")
    return residual_network(block, blocks, options["width"], num_classes, image_shape)
