"""DLA (Yu et al., 2018), deep layer aggregation; the paper's choice is DLA-34."""

from typing import Any

from timm.models.dla import DLA, DlaBasic
from torch import nn

from robnas.models.manual.surgery import chosen, family, keep_resolution, of_depth, stem, without_halving

SIZES: dict[str, dict[str, Any]] = {"paper": {"depth": 34, "width": 16}, "tiny": {"depth": 18, "width": 4}}
DEPTHS = {18: (1, 1, 1, 1, 1, 1), 34: (1, 1, 1, 2, 2, 1), 50: (1, 1, 1, 2, 3, 1)}
"""Layers → depth of each level's tree (34: Table 1 of its paper, the others with basic blocks are ours)."""


@family
def dla(
    num_classes: int, image_shape: tuple[int, int, int], size: str = "paper", depth: int | None = None, width: int | None = None
) -> nn.Module:
    """DLA, deep layer aggregation (Yu et al., 2018), by default DLA-34.

    Images [C, H, W] → logits. Levels 1 and 2, which halve large images, keep the resolution of small ones.

    Args:
        num_classes: length of a row of logits.
        image_shape: (C, H, W).
        size: "paper" or "tiny"; what depth and width are where they are not given.
        depth: layers: 18, 34 or 50.
        width: channels of the stem; the last level has 32 times as many (16).

    Raises UserError for any other size or depth.
    """
    o = chosen(SIZES, size, depth=depth, width=width)
    network = DLA(
        of_depth(DEPTHS, o["depth"], "dla"),
        tuple(o["width"] * 2**i for i in range(6)),
        num_classes=num_classes,
        in_chans=image_shape[0],
        block=DlaBasic,
    )
    network.base_layer[0] = stem(image_shape[0], o["width"])
    without_halving(network.level1)
    without_halving(network.level2)
    keep_resolution([network.level3, network.level4, network.level5], min(image_shape[1:]))
    return network
