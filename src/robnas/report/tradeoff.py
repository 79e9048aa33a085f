"""The price of robustness: accuracy on clean images against what attacks break, a point a model."""

from __future__ import annotations

from typing import Any

from robnas.report import names, style
from robnas.report.collected import Collected
from robnas.report.exhibit import Cell, Exhibit, Table, head_parts
from robnas.report.matrix import matrices

MOST = 6
"""Attacks that are drawn."""


def exhibits(collected: Collected, found: list[Exhibit] | None = None) -> list[Exhibit]:
    """A figure for each matrix that has clean accuracies. found: the matrices, where they were made already."""
    made = [of_matrix(matrix) for matrix in (matrices(collected) if found is None else found)]
    return [exhibit for exhibit in made if exhibit is not None]


def of_matrix(matrix: Exhibit) -> Exhibit | None:
    """Clean accuracy along, each attack's number up; None where fewer than three models have both."""
    table = matrix.table
    if table is None or "clean, %" not in table.columns:
        return None
    clean = table.columns.index("clean, %")
    panels = []
    for i in range(clean + 1, len(table.columns)):
        points = [(row[0], block, row[clean], row[i]) for row, block in zip(table.rows, table.blocks, strict=True)]
        points = [p for p in points if isinstance(p[2], Cell) and isinstance(p[3], Cell) and p[2].there and p[3].there]
        if len(points) >= 3:
            panels.append((i, points))
    if not panels:
        return None
    panels = _spread(panels, table)
    columns = min(3, len(panels))
    rows = -(-len(panels) // columns)
    figure, axes = style.grid(rows, columns, 3.1 * rows + 0.3)
    for place, (i, points) in zip(axes.flat, panels, strict=False):
        _panel(place, points, *head_parts(table.columns[i]))
    for place in axes.flat[len(panels) :]:
        place.set_visible(False)
    left = len(table.columns) - clean - 1 - len(panels)
    caption = (
        "A point a model, with its 95% intervals along both axes; colour and shape: its family. "
        "A trade-off would show as points that rise to the right. "
        "Points whose intervals overlap cannot be told apart."
        + (
            f" Not drawn: {left} columns of the matrix that repeat an attack with other settings or have fewer than three models."
            if left
            else ""
        )
    )
    return Exhibit(
        matrix.key.replace("matrix", "trade-off"),
        "",
        f"Clean accuracy against attacks: {matrix.caption.partition('.')[0]}",
        caption,
        figure,
    )


def _spread(panels: list[Any], table: Table) -> list[Any]:
    """At most MOST of them, one of each attack first."""
    first: dict[str, Any] = {}
    for panel in panels:
        first[head_parts(table.columns[panel[0]])[0]] = panel  # of several settings the strongest, which comes last
    chosen = list(first.values())[:MOST]
    return sorted(chosen, key=lambda panel: panel[0])


def _panel(axes: Any, points: list[Any], name: str, setting: str, unit: str) -> None:
    families = {look.title: look for look in names.FAMILIES.values()}
    small = len(points) > 30
    for _, block, x, y in points:
        look = families.get(block, names.FAMILIES["custom"])
        for along, (low, high) in (("x", (x.low, x.high)), ("y", (y.low, y.high))):
            if low is not None and high is not None:
                line = ([low, high], [y.value] * 2) if along == "x" else ([x.value] * 2, [low, high])
                axes.plot(*line, color=look.colour, linewidth=0.8, alpha=0.15 if small else 0.4, zorder=2)
        axes.plot(
            [x.value],
            [y.value],
            look.marker,
            color=look.colour,
            markersize=3.5 if small else 5.5,
            markeredgecolor="white",
            markeredgewidth=0.5,
            zorder=3,
        )
    if len(points) <= 20:
        extremes = {
            max(points, key=lambda p: p[3].value)[0],
            min(points, key=lambda p: p[3].value)[0],
            max(points, key=lambda p: p[2].value)[0],
        }
        for title, _, x, y in points:
            if title in extremes:
                axes.annotate(title, (x.value, y.value), (4, 4), textcoords="offset points", fontsize=style.SMALL - 1, color=style.INK)
    style.title(axes, f"{name}{f': {setting}' if setting else ''}")
    axes.set_xlabel("clean accuracy, %", fontsize=style.SMALL, color=style.INK)
    axes.set_ylabel(unit, fontsize=style.SMALL, color=style.INK)
    axes.grid(color=style.PALE, linewidth=0.5)
