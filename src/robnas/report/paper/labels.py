"""Names beside points, so that none lies on another or on a named point."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from robnas.report import style

Point = tuple[float, float]


def label(axes: Any, points: Mapping[str, tuple[Point, str]], size: float = style.SMALL) -> None:
    """Draws names, each on the right or the left of its point, moved up or down until it is free; a thin line where it had to move.

    Call it last: places depend on limits and scales as they are, and on the size of the figure.

    Args:
        points: name → its point in the units of the data, and its colour.
        size: of the text, in points.
    """
    from matplotlib.patheffects import withStroke

    if not points:
        return
    axes.figure.draw_without_rendering()  # only now is it known where points lie
    pixel, halo = axes.figure.dpi / 72, [withStroke(linewidth=2.2, foreground="white")]
    at = {name: axes.transData.transform(point) for name, (point, _) in points.items()}
    box = axes.get_window_extent()
    taken = [(x - 5 * pixel, x + 5 * pixel, y) for x, y in at.values()]
    for name, (x, y) in sorted(at.items(), key=lambda item: -item[1][1]):
        wide, gap = 0.62 * size * len(name) * pixel, 7 * pixel
        sides = [(x + gap, x + gap + wide, "left"), (x - gap - wide, x - gap, "right")]
        begin, end, side, shift = _place(sides, y, taken, (box.x0, box.x1), size * pixel)
        taken.append((begin, end, y + shift))
        offset = (gap if side == "left" else -gap) / pixel
        colour = points[name][1]
        line = {"arrowstyle": "-", "color": style.paler(colour, 0.5), "linewidth": 0.6, "shrinkA": 0, "shrinkB": 3} if shift else None
        axes.annotate(
            name, points[name][0], (offset, shift / pixel), textcoords="offset points", ha=side, va="center", fontsize=size, color=colour,
            arrowprops=line, path_effects=halo, zorder=6,
        )  # fmt: skip


def _place(
    sides: Sequence[tuple[float, float, str]], y: float, taken: Sequence[tuple[float, float, float]], box: Point, high: float
) -> tuple[float, float, str, float]:
    """The first free place, the nearest ones first: begin, end, alignment, and how far it was moved."""
    inside = [side for side in sides if box[0] <= side[0] and side[1] <= box[1]] or list(sides[:1])
    for step in sorted(range(-14, 15), key=abs):
        for begin, end, side in inside:
            shift = step * 0.6 * high
            if all(end < left or begin > right or abs(y + shift - other) > 1.15 * high for left, right, other in taken):
                return begin, end, side, shift
    return (*inside[0], 0.0)
