"""What fits a network made for 224×224 photographs to small images: a 3×3 stem of stride 1, and no more halvings than there are pixels."""

from collections.abc import Iterable, Mapping
from typing import Any

from torch import nn

from robnas.errors import UserError, require, unknown


def chosen(sizes: Mapping[str, Mapping[str, Any]], size: str, **given: Any) -> dict[str, Any]:
    """What a named size says, and what was given in its stead. Raises UserError for an unknown size, or a value of the wrong kind."""
    if size not in sizes:
        raise unknown("size", size, sizes)
    options = {**sizes[size], **{name: value for name, value in given.items() if value is not None}}
    for name, value in options.items():  # `options` of a config are typed by nobody
        require(type(value) is int and value >= 1, f"{name}: {value!r} is not a whole number ≥ 1")
    return options


def of_depth(depths: Mapping[Any, Any], depth: Any, family: str) -> Any:
    """What a family's depth means. Raises UserError that lists the depths there are."""
    if depth not in depths:
        raise UserError(f"depth: {depth!r} is no depth of {family}; allowed: {', '.join(map(str, depths))}")
    return depths[depth]


def stem(in_channels: int, out_channels: int, mode: str = "fan_out") -> nn.Conv2d:
    """3×3, stride 1, without bias, with Kaiming's weights: what stands in place of 7×7 with stride 2."""
    conv = nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False)
    nn.init.kaiming_normal_(conv.weight, mode=mode, nonlinearity="relu")  # type: ignore[arg-type]
    return conv


def keep_resolution(stages: Iterable[nn.Module], side: int, smallest: int = 2) -> None:
    """Of `stages` that halve, those behind maps that would come to less than `smallest` pixels halve no more. side: of the image."""
    for stage in stages:
        if side // 2 >= smallest:
            side //= 2
        else:
            without_halving(stage)


def without_halving(stage: nn.Module) -> None:
    """Stride 2 becomes 1, and pools of stride 2 vanish."""
    for name, module in stage.named_children():
        if isinstance(module, nn.MaxPool2d | nn.AvgPool2d) and module.stride in (2, (2, 2)):
            setattr(stage, name, nn.Identity())
        elif isinstance(module, nn.Conv2d) and module.stride == (2, 2):
            module.stride = (1, 1)
        else:
            without_halving(module)


def family(constructor: Any) -> Any:
    """Marks a constructor as one of a manual model."""
    constructor.family = "manual"
    return constructor
