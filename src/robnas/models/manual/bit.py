"""BiT (Kolesnikov et al., 2020): a pre-activated ResNet with group norm and weight-standardised convolutions; the paper's is R50x1."""

from functools import partial
from math import gcd
from typing import Any

from timm.layers.helpers import make_divisible
from timm.layers.norm_act import GroupNormAct
from timm.layers.std_conv import StdConv2d
from timm.models.resnetv2 import ResNetV2
from torch import nn

from robnas.errors import require
from robnas.models.manual.surgery import chosen, family, keep_resolution, of_depth

SIZES: dict[str, dict[str, Any]] = {"paper": {"depth": 50, "factor": 1, "width": 64}, "tiny": {"depth": 26, "factor": 1, "width": 8}}
DEPTHS = {26: [2, 2, 2, 2], 50: [3, 4, 6, 3], 101: [3, 4, 23, 3], 152: [3, 8, 36, 3]}


@family
def bit(
    num_classes: int,
    image_shape: tuple[int, int, int],
    size: str = "paper",
    depth: int | None = None,
    factor: int | None = None,
    width: int | None = None,
) -> nn.Module:
    """BiT (Kolesnikov et al., 2020), by default R50x1.

    Images [C, H, W] → logits. It has no batch norm: nothing depends on the other inputs of a batch.

    Args:
        num_classes: length of a row of logits.
        image_shape: (C, H, W).
        size: "paper" or "tiny"; what the others are where they are not given.
        depth: layers: 26, 50, 101 or 152.
        factor: the x1 of R50x1: how many times as wide.
        width: channels of the stem, an even number; a stage has 4, 8, 16 and 32 times as many (64). Between multiples of 8 timm rounds
            the stem and the inner channels of bottlenecks to one.

    Raises UserError for any other size, depth or width.
    """
    o = chosen(SIZES, size, depth=depth, factor=factor, width=width)
    require(o["width"] % 2 == 0, f"width: {o['width']} is odd, but bit's channels are divided into groups")
    inner = [_rounded(o["width"] * o["factor"] * 2**i) for i in range(4)]
    groups = gcd(32, 4 * o["width"] * o["factor"], *inner)  # 32 as published; in a narrow bottleneck there are fewer channels than that
    while groups > o["width"] // 2:
        groups //= 2
    conv = partial(StdConv2d, eps=1e-8)
    network = ResNetV2(
        list(of_depth(DEPTHS, o["depth"], "bit")),
        channels=tuple(4 * o["width"] * 2**i for i in range(4)),
        num_classes=num_classes,
        in_chans=image_shape[0],
        width_factor=o["factor"],
        stem_chs=o["width"],
        conv_layer=conv,
        norm_layer=partial(GroupNormAct, num_groups=groups),
    )
    network.stem = nn.Sequential(conv(image_shape[0], inner[0], kernel_size=3, padding=1))
    keep_resolution(network.stages[1:], min(image_shape[1:]))
    return network


def _rounded(channels: int) -> int:
    return int(make_divisible(channels))  # type: ignore[no-untyped-call]
