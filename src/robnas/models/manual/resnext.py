"""ResNeXt (Xie et al., 2017); the paper's choice is ResNeXt-50 32x4d, which its authors' code leaves without its last stage."""

from typing import Any

from torch import nn

from robnas.models.manual.residual import DEPTHS, residual_network
from robnas.models.manual.surgery import chosen, family, of_depth

SIZES: dict[str, dict[str, Any]] = {
    "paper": {"depth": 50, "width": 64, "cardinality": 32, "group_width": 4, "stages": 4},
    "tiny": {"depth": 26, "width": 8, "cardinality": 4, "group_width": 16, "stages": 4},
}
BOTTLENECKS = {depth: blocks for depth, (block, blocks) in DEPTHS.items() if block == "bottleneck"}


@family
def resnext(
    num_classes: int,
    image_shape: tuple[int, int, int],
    size: str = "paper",
    depth: int | None = None,
    width: int | None = None,
    cardinality: int | None = None,
    group_width: int | None = None,
    stages: int | None = None,
) -> nn.Module:
    """ResNeXt (Xie et al., 2017), by default ResNeXt-50 32x4d.

    Images [C, H, W] → logits.

    Args:
        num_classes: length of a row of logits.
        image_shape: (C, H, W).
        size: "paper" or "tiny"; what the others are where they are not given.
        depth: layers: 26, 50, 101 or 152.
        width: channels of the first stage, before the factor of 4 (64).
        cardinality: groups of the 3×3 convolutions (32).
        group_width: channels of a group where width is 64 (4).
        stages: 4, or 3 as in the authors' code.

    Raises UserError for any other size or depth.
    """
    o = chosen(SIZES, size, depth=depth, width=width, cardinality=cardinality, group_width=group_width, stages=stages)
    blocks = of_depth(BOTTLENECKS, o["depth"], "resnext")[: o["stages"]]
    return residual_network("bottleneck", blocks, o["width"], num_classes, image_shape, o["cardinality"], o["group_width"])
