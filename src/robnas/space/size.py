"""Parameters and multiply-adds of a genotype's network, counted by formula: no torch, no module is built.

What `Network(genotype, …)` has in evaluation mode, without auxiliary head; BN has a weight and a bias a channel, and no multiply-adds of
its own, as it folds into the convolution before it. A convolution costs one multiply-add for every weight and output pixel.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

from robnas.errors import require
from robnas.space.genotype import Genotype
from robnas.space.stack import Place, stack


class Size(NamedTuple):
    """parameters: weights that are trained; flops: multiply-adds for one image (the field's "FLOPs")."""

    parameters: int
    flops: int

    def __add__(self, other: Size) -> Size:  # type: ignore[override]
        return Size(self.parameters + other.parameters, self.flops + other.flops)


NOTHING = Size(0, 0)


def size(
    genotype: Genotype, *, layers: int = 20, init_channels: int = 36, image_size: int = 32, num_classes: int = 10, in_channels: int = 3
) -> Size:
    """Of the whole network for square images of `image_size` pixels. Raises UserError where a number is below 1."""
    for name, value in {"image_size": image_size, "num_classes": num_classes, "in_channels": in_channels}.items():
        require(value >= 1, f"{name}: {value} is below 1")
    stem = 3 * init_channels
    total, pixels, c_out = _conv(in_channels, stem, 9, image_size**2) + _norm(stem), image_size, stem
    for place in stack(genotype, layers, init_channels, stem):
        total += _cell(place, pixels) if place.needed else NOTHING
        pixels, c_out = _after(pixels, 2 if place.reduction else 1), place.c_out
    return total + Size(c_out * num_classes + num_classes, c_out * num_classes)


def _cell(place: Place, side: int) -> Size:
    """side: of its last input, in pixels. Both inputs come to that size; in a reduction cell, stride 2 halves it on their edges."""
    c, inside = place.channels, _after(side, 2) if place.reduction else side
    total = NOTHING
    for source, c_in in enumerate((place.c_before, place.c_last)):
        if source in place.cell.used:
            total += _conv(c_in, c, 1, side**2) + _norm(c)
    for node, edges in place.cell.numbered():
        if node in place.cell.used:
            for edge in edges:
                if place.reduction and edge.source < 2:
                    total += operation(edge.operation, c, 2, side)
                else:
                    total += operation(edge.operation, c, 1, inside)
    return total


@cache
def operation(name: str, channels: int, stride: int, side: int) -> Size:
    """Of one operation on `channels` maps of side × side pixels."""
    c, out = channels, _after(side, stride) ** 2
    family, _, shape = name.rpartition("_")
    if family in ("sep_conv", "dil_conv"):
        stage = _conv(1, c, int(shape[0]) ** 2, out) + _conv(c, c, 1, out) + _norm(c)  # depthwise, pointwise
        return stage + stage if family == "sep_conv" else stage
    if name == "conv_7x1_1x7":
        return _conv(c, c, 7, side * _after(side, stride)) + _conv(c, c, 7, out) + _norm(c)
    if name == "skip_connect" and stride == 2:
        return _conv(c, c, 1, out) + _norm(c)  # two halves of the output channels
    return NOTHING


def _conv(c_in: int, c_out: int, taps: int, pixels: int) -> Size:
    """taps: weights of a kernel on one input channel; pixels: of the output."""
    return Size(c_in * c_out * taps, c_in * c_out * taps * pixels)


def _norm(channels: int) -> Size:
    return Size(2 * channels, 0)


def _after(side: int, stride: int) -> int:
    return -(-side // stride)
