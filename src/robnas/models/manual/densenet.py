"""DenseNet (Huang et al., 2017); the paper's choice is DenseNet-121."""

from typing import Any

from torch import nn
from torchvision.models.densenet import DenseNet

from robnas.models.manual.surgery import chosen, family, keep_resolution, of_depth, stem

SIZES: dict[str, dict[str, Any]] = {"paper": {"depth": 121, "growth": 32}, "tiny": {"depth": 26, "growth": 8}}
DEPTHS = {26: (2, 3, 4, 2), 121: (6, 12, 24, 16), 161: (6, 12, 36, 24), 169: (6, 12, 32, 32), 201: (6, 12, 48, 32)}
"""Layers → dense layers of each block (Table 1 of its paper; 26 is ours)."""


@family
def densenet(
    num_classes: int, image_shape: tuple[int, int, int], size: str = "paper", depth: int | None = None, growth: int | None = None
) -> nn.Module:
    """DenseNet (Huang et al., 2017), by default DenseNet-121.

    Images [C, H, W] → logits.

    Args:
        num_classes: length of a row of logits.
        image_shape: (C, H, W).
        size: "paper" or "tiny"; what depth and growth are where they are not given.
        depth: layers: 26, 121, 161, 169 or 201.
        growth: k, channels that a layer adds; the stem has 2k (32, and 48 for DenseNet-161).

    Raises UserError for any other size or depth.
    """
    o = chosen(SIZES, size, depth=depth, growth=growth)
    network = DenseNet(o["growth"], of_depth(DEPTHS, o["depth"], "densenet"), 2 * o["growth"], num_classes=num_classes)
    network.features.conv0 = stem(image_shape[0], 2 * o["growth"], "fan_in")
    network.features.pool0 = nn.Identity()
    keep_resolution([getattr(network.features, f"transition{i}") for i in (1, 2, 3)], min(image_shape[1:]))
    return network  # type: ignore[no-any-return]
