"""What ResNet, ResNeXt and WideResNet share: timm's residual network (He et al., 2016) behind a 3×3 stem."""

from collections.abc import Sequence
from typing import Any

from timm.models.resnet import BasicBlock, Bottleneck, ResNet
from torch import nn

from robnas.errors import require
from robnas.models.manual.surgery import keep_resolution, stem

DEPTHS: dict[int, tuple[str, tuple[int, ...]]] = {
    10: ("basic", (1, 1, 1, 1)),
    18: ("basic", (2, 2, 2, 2)),
    26: ("bottleneck", (2, 2, 2, 2)),
    34: ("basic", (3, 4, 6, 3)),
    50: ("bottleneck", (3, 4, 6, 3)),
    101: ("bottleneck", (3, 4, 23, 3)),
    152: ("bottleneck", (3, 8, 36, 3)),
}
"""Layers → kind of block, and blocks of each stage (He et al., 2016, Table 1; 10 and 26 are timm's)."""

BLOCKS: dict[str, type[BasicBlock] | type[Bottleneck]] = {"basic": BasicBlock, "bottleneck": Bottleneck}


def residual_network(
    block: str,
    blocks: Sequence[int],
    width: int,
    num_classes: int,
    image_shape: tuple[int, int, int],
    cardinality: int = 1,
    base_width: int = 64,
) -> nn.Module:
    """A residual network for images [C, H, W].

    Args:
        block: "basic" or "bottleneck".
        blocks: of each of four stages, or of three; every stage but the first halves the resolution and doubles the channels.
        width: C of the stem and of the first stage, before a bottleneck's factor of 4.
        num_classes: length of a row of logits.
        image_shape: (C, H, W).
        cardinality: groups of a bottleneck's 3×3 convolution.
        base_width: channels of such a group where C is 64.

    Raises UserError where that leaves a group without channels.
    """
    require(len(blocks) in (3, 4), f"blocks: {list(blocks)} are not those of three or four stages")
    inner = width * base_width // 64  # timm's rounding
    require(block == "basic" or inner >= 1, f"width: {width} leaves a group of {base_width} per 64 channels without any")
    channels = tuple(width * 2**i for i in range(4))
    network: Any = ResNet(
        BLOCKS[block],  # type: ignore[arg-type]
        (*blocks, 1)[:4],
        num_classes=num_classes,
        in_chans=image_shape[0],
        stem_width=max(width // 2, 1),
        stem_type="deep",  # timm's only stem whose width is free; replaced below
        channels=channels,
        cardinality=cardinality,
        base_width=base_width,
        zero_init_last=False,
    )
    network.conv1 = stem(image_shape[0], width)
    if network.bn1.num_features != width:
        _odd_stem(network, width)
    network.maxpool = nn.Identity()
    if len(blocks) == 3:
        network.layer4 = nn.Identity()
        network.fc = nn.Linear(channels[2] * BLOCKS[block].expansion, num_classes)
    keep_resolution([network.layer2, network.layer3, network.layer4], min(image_shape[1:]))
    return network  # type: ignore[no-any-return]


def _odd_stem(network: Any, width: int) -> None:
    """timm's stem has an even number of channels, and its first block a projection from there; here both have `width`."""
    first = network.layer1[0]
    network.bn1 = nn.BatchNorm2d(width)
    if isinstance(first, BasicBlock):
        first.downsample = None
        first.conv1 = stem(width, first.conv1.out_channels)
    else:
        first.conv1 = _pointwise(width, first.conv1.out_channels)
        first.downsample[0] = _pointwise(width, first.downsample[0].out_channels)


def _pointwise(c_in: int, c_out: int) -> nn.Conv2d:
    conv = nn.Conv2d(c_in, c_out, 1, bias=False)
    nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
    return conv
