"""Networks of equal size: depth and width at which a family has so many parameters, or so many multiply-adds an image.

    matched("resnet", parameters=3_000_000).options  # {"depth": 18, "width": 33}

Its options are plain numbers, so that the configuration and the checkpoint of what is trained say what it is and nothing of how it was
chosen.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from math import isqrt
from typing import Any

import torch

from robnas.errors import UserError, require, short
from robnas.models import cells
from robnas.models.build import build, check, describe
from robnas.models.count import count
from robnas.models.manual import bit, densenet, dla, residual, resnet, resnext, vgg, wide_resnet
from robnas.space.genotype import Genotype
from robnas.space.size import Size, size
from robnas.units import human

TOLERANCE = 0.05
"""Share of the budget. A channel more is 3 to 10 percent of most networks, so the nearest width is mostly half of that away."""


@dataclass(frozen=True)
class Axes:
    """How a family grows. depth, width: the options' names; depths: all that are tried; preferred: the paper's; step: of the width;
    least: the narrowest that can be built.
    """

    depth: str
    depths: Sequence[int]
    width: str
    preferred: Mapping[str, int]
    step: int = 1
    least: int = 1


MANUAL = {
    "bit": Axes("depth", tuple(bit.DEPTHS), "width", bit.SIZES["paper"], step=2),
    "densenet": Axes("depth", tuple(densenet.DEPTHS), "growth", densenet.SIZES["paper"]),
    "dla": Axes("depth", tuple(dla.DEPTHS), "width", dla.SIZES["paper"]),
    "resnet": Axes("depth", tuple(residual.DEPTHS), "width", resnet.SIZES["paper"]),
    "resnext": Axes("depth", tuple(resnext.BOTTLENECKS), "width", resnext.SIZES["paper"], least=16),  # a channel for each group
    "vgg": Axes("depth", tuple(vgg.DEPTHS), "width", vgg.SIZES["paper"]),
    "wide_resnet": Axes("depth", tuple(resnext.BOTTLENECKS), "width", wide_resnet.SIZES["paper"]),  # WRN-n-k: where `fixed` has a depth
}
CELLS = Axes("layers", range(3, 61), "init_channels", cells.SIZES["paper"])
"""Below 3 cells, no normal cell is between the reductions; 60 are three times the paper's."""


@dataclass(frozen=True)
class Matched:
    """options: what `build` needs for it; size: what it has; off: signed share of the budget by which it is larger."""

    network: str
    options: dict[str, Any]
    size: Size
    off: float


def matched(
    network: str,
    *,
    parameters: int | None = None,
    flops: int | None = None,
    fixed: Mapping[str, Any] | None = None,
    tolerance: float = TOLERANCE,
    num_classes: int = 10,
    image_shape: tuple[int, int, int] = (3, 32, 32),
) -> Matched:
    """The width that comes closest at the paper's depth; where that is further off than `tolerance`, at the next nearest depth, and so on.

    Of two depths equally near the smaller one goes first. Not the closest of all depths: that one is arbitrary, as a 152-layer network of
    21 channels comes closest to 3 million parameters by chance. Auxiliary heads of cells are not counted.

    Args:
        network: a manual family, or anything else that names a cell.
        parameters: the budget; or
        flops: the budget in multiply-adds for one image.
        fixed: options that are not to be chosen, depth and width among them.
        tolerance: largest distance from the budget, as a share of it.
        num_classes: length of a row of logits.
        image_shape: (C, H, W).

    Raises:
        UserError: no budget or two, no depth and width within the tolerance (and which comes nearest), a network that has neither,
            options that it does not have.
    """
    require((parameters is None) != (flops is None), "a budget is needed: either parameters or flops")
    what, budget = ("parameters", parameters) if flops is None else ("flops", flops)
    require(budget is not None and 1 <= budget <= 1e12, f"{what}: {budget!r} is not in [1, 1e12]")
    require(0 < tolerance < 1, f"tolerance: {tolerance!r} is not in (0, 1)")
    assert budget is not None
    description, fixed = describe(network), dict(fixed or {})
    axes = CELLS if "genotype" in description else MANUAL.get(description["plugin"])
    if axes is None:
        raise UserError(f"network {short(network)}: how it grows is not known; only cells and {', '.join(MANUAL)} can be matched")
    check(description, "paper", fixed)
    nearest: Matched | None = None
    for depth in [fixed[axes.depth]] if axes.depth in fixed else _by_distance(axes.depths, axes.preferred[axes.depth]):

        def options(width: int, depth: int = depth) -> dict[str, Any]:
            return {axes.depth: depth, axes.width: width} | fixed

        @cache
        def cost(width: int, options: Callable[[int], dict[str, Any]] = options) -> int:
            return getattr(_size(description, options(width), num_classes, image_shape, what == "flops"), what)  # type: ignore[no-any-return]

        width = fixed.get(axes.width) or closest(cost, budget, axes.preferred[axes.width], axes.step, axes.least)
        off = cost(width) / budget - 1
        if nearest is None or abs(off) < abs(nearest.off):
            nearest = Matched(network, options(width), _size(description, options(width), num_classes, image_shape, True), off)
            if abs(off) <= tolerance:
                return nearest
    assert nearest is not None
    found = ", ".join(f"{name} {value}" for name, value in nearest.options.items())
    raise UserError(
        f"network {short(network)}: nothing is within {100 * tolerance:g}% of {human(budget)} {what}; the nearest has "
        f"{human(getattr(nearest.size, what))} ({100 * nearest.off:+.1f}%): {found}"
    )


def closest(cost: Callable[[int], int], budget: int, start: int, step: int = 1, least: int = 1) -> int:
    """The multiple of `step`, from `least` on, whose cost comes closest to `budget`, the smaller of two; cost: never falls with the width.

    `start`'s cost tells about where that is, as a network's cost grows with the square of its width; from there in strides that double.
    """
    first = -(-least // step)  # from here on widths in units of `step`
    below = max(isqrt(start * start * budget // max(cost(start), 1)) // step, first)
    above, stride = below + 1, 1
    while below > first and cost(below * step) > budget:
        below, above, stride = max(below - stride, first), below, 2 * stride
    stride = 1
    while cost(above * step) < budget:
        below, above, stride = above, above + stride, 2 * stride
    while above - below > 1:
        middle = (below + above) // 2
        below, above = (middle, above) if cost(middle * step) <= budget else (below, middle)
    return step * min((below, above), key=lambda n: abs(cost(n * step) - budget))


def _by_distance(depths: Sequence[int], preferred: int) -> list[int]:
    return sorted(depths, key=lambda depth: (abs(depth - preferred), depth))


def _size(description: dict[str, Any], options: dict[str, Any], num_classes: int, image_shape: tuple[int, int, int], flops: bool) -> Size:
    """Cells by formula where images are square; else built without memory for weights, and run only where `flops` are asked for."""
    channels, height, side = image_shape
    if "genotype" not in description:
        shape = options
    else:
        shape = {name: options[name] for name in (CELLS.depth, CELLS.width)}
        if height == side:
            genotype = Genotype.from_dict(description["genotype"])
            return size(genotype, **shape, image_size=side, num_classes=num_classes, in_channels=channels)
    with torch.device("meta"):
        network = build(description, num_classes=num_classes, image_shape=image_shape, options=shape)
        return count(network, image_shape) if flops else Size(sum(p.numel() for p in network.parameters()), 0)
