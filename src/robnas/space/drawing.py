"""Cells as pictures, operation names on the edges (Figs 15, 18)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from robnas.errors import UserError, require
from robnas.space.genotype import Cell, Genotype
from robnas.space.layout import OUTPUT, Layout, Vertex, layout
from robnas.space.search_space import CELL_KINDS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TITLES = {"normal": "Normal cell", "reduce": "Reduction cell"}

STYLES = {
    "sep": ("#00785a", "-"),
    "dil": ("#7b4ea3", "-"),
    "conv": ("#a86a00", "-"),
    "max": ("#0068a8", (0, (4, 1.5))),
    "avg": ("#0068a8", (0, (4, 1.5))),
    "skip": ("#c03a00", (0, (1, 1.2))),
    "zero": ("#8a8a8a", (0, (1, 3))),
}
"""Colour and dashes by the first word of an operation. Colours after Okabe and Ito (2008), darker so that they carry text;
what has weights is solid, so that a copy in black and white tells as much."""

WORDS = {"conv_7x1_1x7": "1×7, 7×1 conv"}

FORMATS = (".svg", ".png", ".pdf")

NODE, LABEL, GUTTER, MARGIN, HEADING, HEAD = 0.36, 1.02, 0.42, 0.12, 0.34, 0.075
"""Inches: widths of a node, a label, the space between a node and a label, around a drawing, above a cell; length of an arrowhead."""

PAGE, BETWEEN = 18.0, 0.35
"""Inches: how wide a picture of several genotypes becomes, and the space between two of them."""


def draw(genotype: Genotype, path: str | Path, title: str = "") -> list[Path]:
    """Writes the picture of both cells → the files written. Equal genotypes give equal files, byte for byte.

    Args:
        genotype: what to draw.
        path: ends in .svg, .png or .pdf; without an ending, both .svg and .png are written.
        title: above the picture.

    Raises UserError on another ending, and where it cannot be written.
    """
    return draw_beside({title: genotype}, path)


def draw_beside(genotypes: Mapping[str, Genotype], path: str | Path, kinds: Sequence[str] = CELL_KINDS) -> list[Path]:
    """The same for several, each below its title, beside each other (Figs 15, 18). kinds: which cells of each."""
    import matplotlib as mpl

    path = Path(path)
    require(path.suffix in ("", *FORMATS), f"{path}: cannot draw {path.suffix!r}; allowed: {', '.join(FORMATS)}")
    paths = [path] if path.suffix else [path.with_suffix(".svg"), path.with_suffix(".png")]
    picture = figure_of(genotypes, kinds)
    unsigned = {".svg": {"Date": None}, ".png": {"Software": None}, ".pdf": {"CreationDate": None}}
    with mpl.rc_context({"svg.hashsalt": "robnas"}):
        for p in paths:
            try:
                p.parent.mkdir(parents=True, exist_ok=True)
                picture.savefig(p, dpi=200, metadata=unsigned[p.suffix])
            except OSError as e:
                raise UserError(f"cannot write {p}: {e.strerror}") from None
    return paths


def figure(genotype: Genotype, title: str = "") -> Figure:
    """Both cells, one above the other, at the size in which their text is 9 points."""
    return figure_of({title: genotype})


def figure_of(genotypes: Mapping[str, Genotype], kinds: Sequence[str] = CELL_KINDS) -> Figure:
    """A panel a genotype, in rows as wide as a page: `PAGE` inches, or the widest of them."""
    from matplotlib.figure import Figure

    panels = [Panel(title, genotype, kinds) for title, genotype in genotypes.items()]
    rows = _rows(panels)
    width = max(sum(panel.width for panel in row) + BETWEEN * (len(row) - 1) for row in rows)
    height = sum(max(panel.height for panel in row) for row in rows) + BETWEEN * (len(rows) - 1)
    picture = Figure(figsize=(width, height), facecolor="white")
    axes: Axes = picture.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, width), ylim=(0, height))
    axes.axis("off")
    y = height
    for row in rows:
        x = 0.0
        for panel in row:
            panel.draw(axes, x, y)
            x += panel.width + BETWEEN
        y -= max(panel.height for panel in row) + BETWEEN
    return picture


class Panel:
    """The cells of a genotype, one above the other, below its title; width and height in inches."""

    def __init__(self, title: str, genotype: Genotype, kinds: Sequence[str] = CELL_KINDS) -> None:
        self.title, self.cells = title, {kind: genotype.cells[kind] for kind in kinds}
        self.layouts = {kind: layout(cell) for kind, cell in self.cells.items()}
        self.top = HEADING * bool(title)
        self.width = max(_columns(layout)[-1][1] for layout in self.layouts.values()) + 2 * MARGIN
        self.height = sum(layout.height + HEADING + 2 * MARGIN for layout in self.layouts.values()) + self.top

    def draw(self, axes: Axes, x: float, y: float) -> None:
        """x, y: of its upper left corner."""
        if self.title:
            axes.text(x + MARGIN, y - self.top / 2, self.title, fontsize=12, weight="bold", va="center")
        y -= self.top
        for kind, cell in self.cells.items():
            y -= self.layouts[kind].height + HEADING + 2 * MARGIN
            draw_cell(axes, cell, self.layouts[kind], (x + MARGIN, y + MARGIN), TITLES[kind])


def _rows(panels: Sequence[Panel]) -> list[list[Panel]]:
    """From left to right in their order; a new row where the next would stand beyond the page."""
    rows: list[list[Panel]] = [[]]
    for panel in panels:
        if rows[-1] and sum(p.width + BETWEEN for p in rows[-1]) + panel.width > PAGE:
            rows.append([])
        rows[-1].append(panel)
    return rows


def draw_cell(axes: Axes, cell: Cell, placed: Layout, corner: tuple[float, float], title: str) -> None:
    """One cell, its lower left corner at `corner` inches; `axes` has inches as its unit."""
    x_0, y_0 = corner
    columns = [(left + x_0, right + x_0) for left, right in _columns(placed)]
    plural = "" if cell.skips == 1 else "s"
    facts = f"depth {cell.depth} · width {cell.width} · {cell.skips} skip connect{plural}"
    heading = y_0 + placed.height + MARGIN + HEADING / 2
    axes.text(x_0, heading, title, fontsize=10.5, weight="bold", va="center")
    axes.text(x_0 + 1.35, heading, facts, fontsize=9, color="#555555", va="center")
    for route in placed.routes:
        colour, dashes = STYLES[route.edge.operation.split("_")[0]] if route.edge else ("#a0a0a0", "-")
        points = _points(route.vertices, columns, y_0)
        _line(axes, points, colour, dashes, 1.5 if route.edge else 1.0)
        if route.edge:
            label = route.vertices[-2]
            left, right = columns[label.layer]
            _box(axes, left, right, y_0 + label.y, label.height, words(route.edge.operation), colour, face="white", size=8.5)
    for layer in placed.layers:
        for v in layer:
            if v.kind == "node":
                outside = v.node in (0, 1, OUTPUT)
                name = {0: "$c_{k-2}$", 1: "$c_{k-1}$", OUTPUT: "$c_k$"}.get(v.node, str(v.node))
                face = "#e4e4e4" if outside else "#fff3c4"
                _box(axes, *columns[v.layer], y_0 + v.y, v.height, name, "#333333", face=face, rounding=0.05 if outside else 0.17)


def words(operation: str) -> str:
    """sep_conv_3x3 → sep conv 3×3."""
    return WORDS.get(operation) or re.sub(r"(\d)x(\d)", r"\1×\2", operation.replace("_", " "))


def _columns(placed: Layout) -> list[tuple[float, float]]:
    """(left, right) of every layer, in inches from the left: nodes in even layers, labels in odd ones."""
    x, columns = 0.0, []
    for i, layer in enumerate(placed.layers):
        width = NODE + 0.12 * (i == 0) if i % 2 == 0 else LABEL if any(v.kind == "label" for v in layer) else 0.0
        columns.append((x, x + width))
        x += width + GUTTER
    return [(left, right) for left, right in columns]


def _points(way: Sequence[Vertex], columns: list[tuple[float, float]], y_0: float) -> list[tuple[float, float]]:
    """Where the line enters and leaves each column; at nodes its ends lie beside each other, in the order in which they go on."""
    points = []
    for i, v in enumerate(way):
        left, right = columns[v.layer]
        y = y_0 + v.y
        if left == right:  # nothing stands in this column: the line goes on to the next
            continue
        if i > 0:
            points.append((left, y + (_port(v, way[i - 1], v.before) if v.kind == "node" else 0)))
        if i < len(way) - 1:
            points.append((right, y + (_port(v, way[i + 1], v.after) if v.kind == "node" else 0)))
    return points


def _port(v: Vertex, other: Vertex, side: list[Vertex]) -> float:
    """Offset of a line's end from the middle of its node."""
    place = sorted(side, key=lambda w: -w.y).index(other)
    step = min(0.09, v.height / (len(side) + 1))
    return ((len(side) - 1) / 2 - place) * step


def _line(axes: Axes, points: list[tuple[float, float]], colour: str, dashes: Any, width: float) -> None:
    """Level inside columns, an S between them; the arrowhead is never dashed."""
    from matplotlib.patches import PathPatch, Polygon
    from matplotlib.path import Path as Curve

    end = points[-1]
    points = [*points[:-1], (end[0] - HEAD, end[1])]
    vertices, codes = [points[0]], [Curve.MOVETO]
    for i, ((x, y), (x_2, y_2)) in enumerate(pairwise(points)):
        if i % 2 == 0:
            middle = (x + x_2) / 2
            vertices += [(middle, y), (middle, y_2), (x_2, y_2)]
            codes += [Curve.CURVE4] * 3
        else:
            vertices.append((x_2, y_2))
            codes.append(Curve.LINETO)
    axes.add_patch(PathPatch(Curve(vertices, codes), fill=False, edgecolor=colour, linewidth=width, linestyle=dashes, zorder=1))
    head = [end, (end[0] - HEAD, end[1] + 0.35 * HEAD), (end[0] - HEAD, end[1] - 0.35 * HEAD)]
    axes.add_patch(Polygon(head, closed=True, facecolor=colour, edgecolor="none", zorder=1))


def _box(
    axes: Axes,
    left: float,
    right: float,
    y: float,
    height: float,
    text: str,
    colour: str,
    *,
    face: str,
    rounding: float = 0.12,
    size: float = 9.0,
) -> None:
    from matplotlib.patches import FancyBboxPatch

    style = f"round,pad=0,rounding_size={rounding}"
    box = FancyBboxPatch((left, y - height / 2), right - left, height, boxstyle=style, facecolor=face, edgecolor=colour, zorder=2)
    axes.add_patch(box)
    axes.text((left + right) / 2, y, text, fontsize=size, color=colour, ha="center", va="center_baseline", zorder=3)
