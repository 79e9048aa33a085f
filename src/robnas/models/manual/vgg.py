"""VGG with batch norm (Simonyan and Zisserman, 2015); the paper's choice is VGG-13."""

from typing import Any

from torch import nn
from torchvision.models.vgg import cfgs, make_layers

from robnas.models.manual.surgery import chosen, family, of_depth

SIZES: dict[str, dict[str, Any]] = {"paper": {"depth": 13, "width": 64}, "tiny": {"depth": 11, "width": 16}}
DEPTHS = {11: cfgs["A"], 13: cfgs["B"], 16: cfgs["D"], 19: cfgs["E"]}


@family
def vgg(
    num_classes: int, image_shape: tuple[int, int, int], size: str = "paper", depth: int | None = None, width: int | None = None
) -> nn.Module:
    """VGG with batch norm (Simonyan and Zisserman, 2015), by default VGG-13.

    Images [C, H, W] → logits, with one linear layer on the mean of the last maps, as is usual for small images.

    Its five pools leave one pixel of 32×32; of smaller images the last pools are left out.

    Args:
        num_classes: length of a row of logits.
        image_shape: (C, H, W).
        size: "paper" or "tiny"; what depth and width are where they are not given.
        depth: layers: 11, 13, 16 or 19.
        width: channels of the first layer; the last ones have 8 times as many (64).

    Raises UserError for any other size or depth.
    """
    o = chosen(SIZES, size, depth=depth, width=width)
    plan: list[str | int] = []
    side = min(image_shape[1:])
    for layer in of_depth(DEPTHS, o["depth"], "vgg"):
        if layer != "M":
            plan.append(layer * o["width"] // 64)
        elif side >= 2:
            plan, side = [*plan, "M"], side // 2
    features = make_layers(plan, batch_norm=True)
    features[0] = nn.Conv2d(image_shape[0], int(plan[0]), 3, padding=1)
    network = nn.Sequential(features, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8 * o["width"], num_classes))
    for module in network.modules():  # as torchvision's own class does, which would first build its 100 million weights for photographs
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, 0, 0.01)
        if isinstance(module, nn.Conv2d | nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)
    return network
