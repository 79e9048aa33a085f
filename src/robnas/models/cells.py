"""NAS models: a genotype stacked to a network (§3.1: 20 cells, 36 channels)."""

from typing import Any

from torch import nn

from robnas.errors import require, unknown
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

    Raises:
        UserError: an unknown size, or a value that is not of its kind or out of its range.
    """
    if size not in SIZES:
        raise unknown("size", size, SIZES)
    wide = SIZES[size] | {k: v for k, v in {"layers": layers, "init_channels": init_channels}.items() if v is not None}
    for name, value in wide.items():  # `options` of a config are typed by nobody
        require(type(value) is int and value >= 1, f"{name}: {value!r} is not a whole number ≥ 1")
    for name, value in {"drop_path": drop_path, "dropout": dropout}.items():
        require(type(value) in (int, float) and 0 <= value < 1, f"{name}: {value!r} is not a probability in [0, 1)")
    require(type(auxiliary) is bool, f"auxiliary: {auxiliary!r} is neither true nor false")
    return Network(
        genotype,
        num_classes=num_classes,
        in_channels=image_shape[0],
        layers=wide["layers"],
        init_channels=wide["init_channels"],
        auxiliary=auxiliary,
        drop_path=drop_path,
        dropout=dropout,
    )
