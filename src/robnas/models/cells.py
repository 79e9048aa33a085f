"""NAS models: a genotype stacked to a network (§3.1: 20 cells, 36 channels)."""

from typing import Any

from torch import nn

from robnas.errors import unknown
from robnas.space.genotype import Genotype
from robnas.space.network import Network

SIZES: dict[str, dict[str, Any]] = {
    "paper": {"layers": 20, "init_channels": 36},
    "tiny": {"layers": 5, "init_channels": 10},
}
"""What a named size means for a cell network: its depth in cells and its first cells' channels."""


def cells(
    genotype: Genotype,
    num_classes: int,
    image_shape: tuple[int, int, int],
    size: str = "paper",
    layers: int | None = None,
    init_channels: int | None = None,
    auxiliary: bool = False,
    drop_path: float = 0.0,
    dropout: float = 0.0,
) -> nn.Module:
    """A cell network for images [C, H, W].

    Args:
        genotype: the two cells.
        num_classes: length of a row of logits.
        image_shape: (C, H, W).
        size: "paper" or "tiny"; what `layers` and `init_channels` are where they are not given.
        layers: cells in all; the reduction cells stand at a third and at two thirds.
        init_channels: channels of a node in the first cells.
        auxiliary: a second head at two thirds of the depth, while training (Szegedy et al., 2015).
        drop_path: probability at which a path of a cell is left out at the end of training (Larsson et al., 2017).
        dropout: probability behind every operation but stride-1 skips, as in the authors' code.
    """
    if size not in SIZES:
        raise unknown("size", size, SIZES)
    return Network(
        genotype,
        num_classes=num_classes,
        in_channels=image_shape[0],
        layers=layers or SIZES[size]["layers"],
        init_channels=init_channels or SIZES[size]["init_channels"],
        auxiliary=auxiliary,
        drop_path=drop_path,
        dropout=dropout,
    )
