"""How cells make a network (§2.1, Fig. 1): which cell stands where, and how wide it is. Stated once, for modules and for counting."""

from collections.abc import Iterator
from typing import NamedTuple

from robnas.errors import require
from robnas.space.genotype import Cell, Genotype


class Place(NamedTuple):
    """One cell of the stack.

    cell: what stands there; c_before, c_last: channels of its two inputs; channels: C of each of its nodes;
    reduction: it halves the resolution; after_reduction: the cell before it did, so its older input has twice the size of the other.
    """

    cell: Cell
    c_before: int
    c_last: int
    channels: int
    reduction: bool
    after_reduction: bool

    @property
    def c_out(self) -> int:
        """Channels of its output."""
        return self.channels * len(self.cell.concat)


def reductions(layers: int) -> tuple[int, int]:
    """The reduction cells stand at ⌊layers/3⌋ and ⌊2·layers/3⌋ of 0 … layers − 1."""
    return layers // 3, 2 * layers // 3


def stack(genotype: Genotype, layers: int, init_channels: int, stem_channels: int) -> Iterator[Place]:
    """The cells from the stem to the classifier. Raises UserError where a number is below 1."""
    for name, value in {"layers": layers, "init_channels": init_channels}.items():
        require(value >= 1, f"{name}: {value} is below 1")
    c_before, c_last, channels, after_reduction = stem_channels, stem_channels, init_channels, False
    for i in range(layers):
        reduction = i in reductions(layers)
        channels = 2 * channels if reduction else channels
        place = Place(genotype.reduce if reduction else genotype.normal, c_before, c_last, channels, reduction, after_reduction)
        yield place
        c_before, c_last, after_reduction = c_last, place.c_out, reduction
