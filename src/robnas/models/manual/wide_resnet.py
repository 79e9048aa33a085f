"""WideResNet (Zagoruyko and Komodakis, 2016): wide_resnet50_2, as the authors of the paper have it, and WRN-n-k, as its own authors do."""

from typing import Any

from timm.layers.create_conv2d import create_conv2d
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
    """WideResNet (Zagoruyko and Komodakis, 2016), by default wide_resnet50_2.

    Images [C, H, W] → logits.

    Args:
        num_classes: length of a row of logits.
        image_shape: (C, H, W).
        size: "paper" or "tiny"; what the others are where they are not given.
        depth: 26, 50, 101 or 152: bottlenecks whose 3×3 convolution is `factor` times as wide; 16, 22, 28, 34, 40, …: WRN-depth-factor,
            three stages of pre-activated basic blocks.
        factor: k, how many times as wide (2).
        width: channels of the first stage before that (64; 16 for WRN-depth-factor).

    Raises UserError for any other size or depth.
    """
    o = chosen(SIZES, size, depth=depth, factor=factor, width=width)
    wrn = o["depth"] % 6 == 4 and o["depth"] >= 10
    if wrn and size == "paper" and width is None:
        o["width"] = 16
    bottlenecks = DEPTHS.get(o["depth"], ("", ()))
    require(
        wrn or bottlenecks[0] == "bottleneck",
        f"depth: {o['depth']} is no depth of wide_resnet; allowed: 26, 50, 101, 152, or 10, 16, 22, 28, …",
    )
    if wrn:
        return _wrn(o["depth"], o["factor"], o["width"], num_classes, image_shape)
    return residual_network("bottleneck", bottlenecks[1], o["width"], num_classes, image_shape, base_width=64 * o["factor"])


def _norm(channels: int, apply_act: bool = True, **_: Any) -> nn.Module:
    """torch's own batch norm, which is taken across ranks and folded by attacks; timm's has the ReLU inside and would be neither."""
    return nn.Sequential(nn.BatchNorm2d(channels), nn.ReLU()) if apply_act else nn.BatchNorm2d(channels)


def _wrn(depth: int, factor: int, width: int, num_classes: int, image_shape: tuple[int, int, int]) -> nn.Module:
    """Table 1 of its paper: (depth − 4)/6 blocks in each of three stages of k, 2k and 4k times `width` channels."""
    network = ResNetV2(
        [(depth - 4) // 6] * 3,
        channels=tuple(factor * width * 2**i for i in range(3)),
        num_classes=num_classes,
        in_chans=image_shape[0],
        stem_chs=width,
        basic=True,
        bottle_ratio=1.0,
        conv_layer=create_conv2d,
        norm_layer=_norm,
    )
    network.stem = nn.Sequential(stem(image_shape[0], width))
    keep_resolution(network.stages[1:], min(image_shape[1:]))
    return network
