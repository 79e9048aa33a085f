"""WideResNet (Zagoruyko and Komodakis, 2016): wide_resnet50_2, as the authors of the paper have it, and WRN-n-k, as its own authors do."""

from functools import partial
from typing import Any

from timm.layers.create_conv2d import create_conv2d
from timm.layers.norm_act import BatchNormAct2d
from timm.models.resnetv2 import ResNetV2
from torch import nn

from robnas.errors import require
from robnas.models.manual.residual import DEPTHS, residual_network
from robnas.models.manual.surgery import chosen, family, keep_resolution, stem

SIZES: dict[str, dict[str, Any]] = {"paper": {"depth": 50, "factor": 2, "width": 64}, "tiny": {"depth": 16, "factor": 2, "width": 8}}


@family
def wide_resnet(
    num_classes: int,
    image_shape: tuple[int, int, int],
    size: str = "paper",
    depth: int | None = None,
    factor: int | None = None,
    width: int | None = None,
) -> nn.Module:
    """Images [C, H, W] → logits.

    Args:
        num_classes: length of a row of logits.
        image_shape: (C, H, W).
        size: "paper" or "tiny"; what the others are where they are not given.
        depth: 50 or 101: bottlenecks whose 3×3 convolution is `factor` times as wide; 16, 22, 28, 34, 40, …: WRN-depth-factor, three
            stages of pre-activated basic blocks.
        factor: k, how many times as wide (2).
        width: channels of the first stage before that (64; 16 for WRN-depth-factor).

    Raises UserError for any other size or depth.
    """
    o = chosen(SIZES, size, depth=depth, factor=factor)
    wrn = o["depth"] % 6 == 4
    o["width"] = width or (16 if wrn and size == "paper" else o["width"])
    bottlenecks = DEPTHS.get(o["depth"], ("", ()))
    require(
        wrn or bottlenecks[0] == "bottleneck", f"depth: {o['depth']} is no depth of wide_resnet; allowed: 50, 101, or 16, 22, 28, 34, …"
    )
    if wrn and o["depth"] >= 10:
        return _wrn(o["depth"], o["factor"], o["width"], num_classes, image_shape)
    return residual_network("bottleneck", bottlenecks[1], o["width"], num_classes, image_shape, base_width=64 * o["factor"])


def _wrn(depth: int, factor: int, width: int, num_classes: int, image_shape: tuple[int, int, int]) -> nn.Module:
    """Table 1 of its paper: (depth − 4)/6 blocks in each of three stages of k·16, k·32 and k·64 channels."""
    network = ResNetV2(
        [(depth - 4) // 6] * 3,
        channels=tuple(factor * width * 2**i for i in range(3)),
        num_classes=num_classes,
        in_chans=image_shape[0],
        stem_chs=width,
        basic=True,
        bottle_ratio=1.0,
        conv_layer=create_conv2d,
        norm_layer=partial(BatchNormAct2d),
    )
    network.stem = nn.Sequential(stem(image_shape[0], width))
    keep_resolution(network.stages[1:], min(image_shape[1:]))
    return network
