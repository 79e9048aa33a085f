"""Accuracy against robust accuracy, a point a model, coloured by the depth of its normal cell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from robnas.report import names, style
from robnas.report.beyond.robust import Robust, robust_accuracy
from robnas.report.collected import Collected
from robnas.report.exhibit import Cell, Entry, Exhibit, Table
from robnas.report.paper import wording
from robnas.report.paper.cells_found import of_models
from robnas.report.paper.labels import label
from robnas.report.paper.over_seeds import Who, Worth

KEY, TITLE = "accuracy-robustness", "Accuracy against robust accuracy, by depth of the cell"
PATHS = (("darts", "darts_i", "darts_iii"), ("darts", "darts_ii", "darts_iii"))
"""§5.2: deeper first or fewer skips first; both end at DARTS-iii."""
NAMED = 40
"""Points with names; of more only those of the paper."""


def exhibit(collected: Collected) -> Exhibit:
    """Manual models have no cell, and are drawn in their family's look."""
    found = robust_accuracy(collected)
    points = (
        {} if found is None else {name: (found.accuracy[name], worth) for name, worth in found.robust.items() if name in found.accuracy}
    )
    if found is None or len(points) < 2:
        needed = "test accuracy and untargeted PGD of at least two models: robnas attack RUN… --config pgd.yaml"
        return Exhibit(KEY, "", TITLE, "", missing=needed)
    depths = {name: genotype.normal.depth for name, genotype in of_models(found.rows).items()}
    return Exhibit(
        KEY, "", TITLE, _caption(found, points, depths), _figure(found, points, depths), _table(points, depths), _missing(points, depths)
    )


def _figure(found: Robust, points: Mapping[Who, tuple[Worth, Worth]], depths: Mapping[Who, int]) -> Any:
    few = len(points) <= NAMED
    figure, panels = style.grid(1, 1, 4.8, 6.2 if few else 9.0)
    axes = panels[0, 0]
    colours = _depths(figure, axes, depths)
    by_name = {name.model: name for name in points if not name.searched}
    for way in PATHS:
        for start, end in pairwise(way):
            if start in by_name and end in by_name:
                ends = [tuple(worth.value for worth in points[by_name[m]]) for m in (end, start)]
                arrow = {"arrowstyle": "-|>", "color": style.INK, "linewidth": 1.0, "shrinkA": 5, "shrinkB": 5, "alpha": 0.6}
                axes.annotate("", ends[0], ends[1], arrowprops=arrow, zorder=3)
    for name, (x, y) in points.items():
        look = style.look(name.family)
        colour = colours.get(depths.get(name, -1), look.colour)
        if few:
            thin = {"color": style.PALE if name in depths else style.paler(look.colour, 0.6), "linewidth": 0.9, "zorder": 1}
            if x.low is not None and x.high is not None:
                axes.plot([x.low, x.high], [y.value] * 2, **thin)
            if y.low is not None and y.high is not None:
                axes.plot([x.value] * 2, [y.low, y.high], **thin)
        own = name.known or few
        size = 8.5 if own else 6
        edge = style.INK if name.known and not few else "white"
        axes.plot(
            x.value, y.value, look.marker, color=colour, markersize=size, markeredgecolor=edge, markeredgewidth=0.8, zorder=4 if own else 2
        )
    axes.grid(color=style.PALE, linewidth=0.6)
    axes.set_xlim(*_around([x.value for x, _ in points.values()]))  # a long interval would leave the most of the plot empty
    axes.margins(y=0.06)
    axes.set_xlabel("test accuracy", fontsize=style.SMALL)
    axes.set_ylabel(f"robust accuracy under {found.how}", fontsize=style.SMALL)
    style.percent_axis(axes, "x")
    style.percent_axis(axes, "y")
    grey = {"NAS (colour: depth)": {"marker": style.look("nas").marker, "linestyle": "", "markersize": 6}} if colours else {}
    style.key(figure, [name.family for name in points if name not in depths or not colours], more=grey)
    named = {
        name.title: ((x.value, y.value), style.INK if name in depths else style.look(name.family).colour)
        for name, (x, y) in points.items()
        if few or name.known
    }
    label(axes, named)
    return figure


def _around(values: Sequence[float]) -> tuple[float, float]:
    """From the lowest to the highest with room for names; a share ends at 100%."""
    low, high = min(values), max(values)
    room = 0.15 * (high - low) or 0.01
    return low - room, min(high + room, 1.0 + 0.02 * (high - low))


def _depths(figure: Any, axes: Any, depths: Mapping[Who, int]) -> dict[int, Any]:
    """A colour a whole number, and its bar."""
    from matplotlib import colormaps
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import BoundaryNorm, ListedColormap

    if not depths:
        return {}
    low, high = min(depths.values()), max(depths.values())
    if low == high:
        return {}  # nothing to tell apart
    every = colormaps["viridis"](np.linspace(0, 0.9, high - low + 1))  # its last yellow is hard to see on white
    norm = BoundaryNorm(np.arange(low, high + 2) - 0.5, high - low + 1)
    bar = figure.colorbar(ScalarMappable(norm, ListedColormap(every)), ax=axes, ticks=range(low, high + 1), shrink=0.6, pad=0.01)
    bar.set_label("depth of the normal cell", fontsize=style.SMALL)
    bar.ax.tick_params(labelsize=style.SMALL, length=0)
    bar.outline.set_visible(False)
    return {low + i: colour for i, colour in enumerate(every)}


def _table(points: Mapping[Who, tuple[Worth, Worth]], depths: Mapping[Who, int]) -> Table:
    rows: list[tuple[Entry, ...]] = []
    for name, (x, y) in points.items():
        depth = Cell(depths[name], text=str(depths[name])) if name in depths else "–"
        rows.append((name.title, x.cell(100, 1), y.cell(100, 1), depth))
    blocks = tuple(style.look(name.family).title for name in points)
    return Table(("model", "accuracy, %", "robust accuracy, %", "depth of the normal cell"), tuple(rows), blocks)


def _caption(found: Robust, points: Mapping[Who, tuple[Worth, Worth]], depths: Mapping[Who, int]) -> str:
    few = len(points) <= NAMED
    return wording.sentences(
        f"{names.data(found.dataset)}; robust: right on every image that {found.how} tried. Of the ε that most models were attacked "
        f"with, that which "
        "tells them apart best; at another the order may be another.",
        wording.counted(found.rows),
        "Arrows lead from DARTS to DARTS-iii, deeper first or fewer skip connects first."
        if any(name.model == "darts" for name in points)
        else "",
        wording.INTERVALS + " What of them lies beyond the plot is in the table."
        if few
        else "Named: those of the paper; intervals are in the table.",
        wording.reduced(found.rows),
    )


def _missing(points: Mapping[Who, tuple[Worth, Worth]], depths: Mapping[Who, int]) -> str:
    there = {name.family for name in points}
    said = [f"{style.look(f).title} models, to compare with" for f in ("nas", "manual") if f not in there]
    gone = [name.title for name in points if name.family == "nas" and name not in depths]
    said += [f"the cells of {wording.some(gone).replace(';', ',')}"] * bool(gone)
    return "; ".join(said)
