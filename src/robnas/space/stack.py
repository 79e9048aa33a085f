"""How cells make a network (§2.1, Fig. 1): which cell stands where, and how wide it is. Stated once, for modules and for counting."""

from collections.abc import Collection
from typing import NamedTuple

from robnas.errors import require
from robnas.space.genotype import Cell, Genotype


class Place(NamedTuple):
    """One cell of the stack.

    cell: what stands there; c_before, c_last: channels of its two inputs; channels: C of each of its nodes;
    reduction: it halves the resolution; after_reduction: the cell before it did, so its older input has twice the size of the other;
    needed: something reads its output. A cell that reads its older input alone leaves every other cell of a stack unread.
    """

    cell: Cell
    c_before: int
    c_last: int
    channels: int
    reduction: bool
    after_reduction: bool
    needed: bool = True

    @property
    def c_out(self) -> int:
        """Channels of its output."""
        return self.channels * len(self.cell.concat)


def reductions(layers: int) -> tuple[int, int]:
    """The reduction cells stand at ⌊layers/3⌋ and ⌊2·layers/3⌋ of 0 … layers − 1."""
    return layers // 3, 2 * layers // 3


def stack(genotype: Genotype, layers: int, init_channels: int, stem_channels: int, read: Collection[int] = ()) -> list[Place]:
    """The cells from the stem to the classifier, which reads the last one. read: further cells whose output something reads.

    Raises UserError where a number is below 1.
    """
    for name, value in {"layers": layers, "init_channels": init_channels}.items():
        require(value >= 1, f"{name}: {value} is below 1")
    places: list[Place] = []
    c_before, c_last, channels, after_reduction = stem_channels, stem_channels, init_channels, False
    for i in range(layers):
        reduction = i in reductions(layers)
        channels = 2 * channels if reduction else channels
        cell = genotype.reduce if reduction else genotype.normal
        places.append(Place(cell, c_before, c_last, channels, reduction, after_reduction))
        c_before, c_last, after_reduction = c_last, places[-1].c_out, reduction
    needed = {layers - 1, *read}
    for i in reversed(range(layers)):
        if i in needed:
            needed |= {i - 2 + source for source in places[i].cell.used if source < 2}
    return [place._replace(needed=i in needed) for i, place in enumerate(places)]
