"""Cells in columns: normal cells below each other, reduction cells beside them, and room for what is to be said of each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from robnas.space.drawing import BETWEEN, Panel
from robnas.space.genotype import Genotype
from robnas.space.search_space import CELL_KINDS


def rows_of_cells(
    genotypes: Mapping[str, Genotype], kinds: tuple[str, ...] = CELL_KINDS, beside: float = 0.0
) -> tuple[Any, Any, list[float]]:
    """A row a genotype, a column a kind of cell → figure, axes in inches, and the height of each row's middle.

    beside: inches left free on the right.
    """
    from matplotlib.figure import Figure

    panels = [[Panel(title if i == 0 else " ", genotype, (kind,)) for i, kind in enumerate(kinds)] for title, genotype in genotypes.items()]
    widths = [max(panel.width for panel in column) for column in zip(*panels, strict=True)]
    heights = [max(panel.height for panel in row) for row in panels]
    width = sum(widths) + BETWEEN * (len(widths) - 1) + beside
    height = sum(heights) + BETWEEN * (len(heights) - 1)
    figure = Figure(figsize=(width, height), facecolor="white")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, width), ylim=(0, height))
    axes.axis("off")
    y, middles = height, []
    for row, tall in zip(panels, heights, strict=True):
        x = 0.0
        for panel, wide in zip(row, widths, strict=True):
            panel.draw(axes, x, y)
            x += wide + BETWEEN
        middles.append(y - tall / 2)
        y -= tall + BETWEEN
    return figure, axes, middles
