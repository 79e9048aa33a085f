"""Do the explanations predict vulnerability? Random cells on digits under every probe and attack; named networks placed among them.

    python tools/table_of_probes.py [--cells 100] [--seeds 0] [--placed darts resnet …] [--workers 2]

Every training, probe and attack is a job: whatever ends this command, the same command goes on where it was and does nothing twice.
Writes Kendall's τ of explanation × attack and attack × attack, each with its interval, into --out between two markers, a picture of the
cloud beside it, and every number of every network into --numbers. Probes that are not installed are left out. More seeds tell how much
of a vulnerability is the cell's and how much the training's.
"""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import probe_cloud
import side_by_side
from probe_cloud import MIDDLE, PLACED
from probe_tables import of_networks, tables
from side_by_side import REPOSITORY, Run
from table_of_models import KINDS

from robnas.errors import require
from robnas.models.build import describe
from robnas.report.names import MODELS

BEGIN, END = "<!-- tables of probes: written by tools/table_of_probes.py -->", "<!-- end of the tables of probes -->"
PATHS = (("darts", "darts_i", "darts_iii"), ("darts", "darts_ii", "darts_iii"))
"""§5.2: n_step first or γ first; both end at DARTS-iii."""
Point = tuple[float, float]
"""Accuracy and robust accuracy, in %."""
STYLES = {
    "published": ("published cell", *KINDS["nas"][1:]),
    "darts": ("DARTS-i, -ii, -iii", "#111827", "D"),
    "manual": KINDS["manual"],
    "custom": KINDS["custom"],
}
"""Group → its name, colour and mark."""


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status: 1 where a job failed."""
    out, kept = REPOSITORY / "docs" / "probes.md", REPOSITORY / "benchmarks" / "results" / "probes-digits.json"
    parser = side_by_side.arguments(__doc__.splitlines()[0], out, kept)
    parser.set_defaults(seeds=[0])
    parser.add_argument("--cells", type=int, default=100, help="random ones")
    parser.add_argument("--placed", nargs="*", default=list(PLACED), metavar="NAME", help="published cells and model plug-ins")
    options = parser.parse_args(argv)
    side_by_side.check_seeds(options.seeds)
    side_by_side.check_once("placed", options.placed)
    require(options.cells >= 2, f"--cells: {options.cells} is not at least 2: one cell has no order")
    for name in options.placed:
        describe(name)
    asked = probe_cloud.networks(options.cells, options.placed, options.runs)
    runs, failed = probe_cloud.measure(asked, options.seeds, options.workers, options.runs, options.flags)
    return side_by_side.publish(options, runs, failed, tables, picture, (BEGIN, END), cells=options.cells)


# The picture


def picture(runs: Sequence[Run], path: Path) -> None:
    """Accuracy against robust accuracy: random cells coloured by depth, named networks by name, arrows from DARTS to DARTS-iii."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 7.2), layout="constrained")
    axes = figure.subplots()
    points = {name: point for name, own in of_networks(runs).items() if (point := _point(own)) is not None}
    groups = {run["network"]: run["group"] for run in runs}
    random = {name: point for name, point in points.items() if groups[name] == "random"}
    points, far = near(points, list(random.values()))
    _cloud(axes, runs, random)
    for way in PATHS:
        for start, end in pairwise(way):
            if start in points and end in points:
                style = {"arrowstyle": "-|>", "color": "#111827", "linewidth": 1.2, "shrinkA": 5, "shrinkB": 5, "alpha": 0.7}
                axes.annotate("", points[end], points[start], arrowprops=style, zorder=3)
    named = [name for name in points if name not in random]
    for name in named:
        _, colour, marker = _style(groups[name])
        axes.plot(*points[name], "<" if name in far else marker, color=colour, markersize=8, markeredgecolor="white", zorder=4)
    axes.set(xlabel="test accuracy, %", ylabel=f"robust accuracy under PGD at ε = {MIDDLE}/255, %")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="#eeeeee")
    axes.set_axisbelow(True)
    axes.margins(0.06)
    kinds = dict.fromkeys(_style(groups[name]) for name in named)
    handles = [axes.plot([], [], marker, color=colour, markersize=8)[0] for _, colour, marker in kinds]
    handles += [axes.plot([], [], "o", color="#9ca3af", markersize=6)[0]] if random else []
    titles = [title for title, _, _ in kinds] + (["random cell"] if random else [])
    figure.legend(handles, titles, frameon=False, loc="outside upper left", ncols=len(titles))
    figure.draw_without_rendering()  # only now is it known where points lie
    _names(axes, {name: points[name] for name in named}, groups, far)
    side_by_side.save(figure, path)


def near(points: dict[str, Point], cloud: Sequence[Point]) -> tuple[dict[str, Point], dict[str, Point]]:
    """All points, and those that lie further left of the cloud than it is wide, which are moved to its edge: what they are."""
    if not cloud:
        return points, {}
    least, most = min(x for x, _ in cloud), max(x for x, _ in cloud)
    edge = least - 1.2 * (most - least)
    far = {name: point for name, point in points.items() if point[0] < edge}
    return points | {name: (edge, y) for name, (_, y) in far.items()}, far


def _point(own: Sequence[Run]) -> Point | None:
    """Mean over seeds, in %; None without an attack."""
    robust = [run["robust_accuracy"] for run in own if run["robust_accuracy"] is not None]
    return (100 * float(np.mean([run["accuracy"] for run in own])), 100 * float(np.mean(robust))) if robust else None


def _style(group: str) -> tuple[str, str, str]:
    return STYLES.get(group, STYLES["custom"])


def _cloud(axes: Any, runs: Sequence[Run], points: dict[str, Point]) -> None:
    """Coloured by the depth of the normal cell: a colour a whole number."""
    from matplotlib import colormaps
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import BoundaryNorm, ListedColormap

    if not points:
        return
    depths = {run["network"]: int(run["explanations"]["cell/normal/depth"]) for run in runs if run["network"] in points}
    low, high = min(depths.values()), max(depths.values())
    steps = np.arange(low, high + 2) - 0.5
    colours = ListedColormap(colormaps["viridis"](np.linspace(0, 0.92, high - low + 1)))  # its last yellow is hard to see on white
    norm = BoundaryNorm(steps, high - low + 1)
    x, y = zip(*points.values(), strict=True)
    axes.scatter(x, y, c=[depths[name] for name in points], cmap=colours, norm=norm, s=46, alpha=0.75, linewidths=0, zorder=2)
    bar = axes.figure.colorbar(ScalarMappable(norm, colours), ax=axes, ticks=range(low, high + 1), shrink=0.7, pad=0.01)
    bar.set_label("depth of the normal cell, edges")
    bar.outline.set_visible(False)


def _names(axes: Any, named: dict[str, Point], groups: dict[str, str], far: dict[str, Point]) -> None:
    """Beside each mark, on its right or left, moved up or down until it lies on no other name and no named mark.

    What lies outside has its accuracy with its name.
    """
    from matplotlib.patheffects import withStroke

    pixel, halo = 72 / axes.figure.dpi, [withStroke(linewidth=2.5, foreground="white")]
    at = {name: axes.transData.transform(point) for name, point in named.items()}
    left, right = axes.get_window_extent().x0, axes.get_window_extent().x1
    taken = [(x - 6, x + 6, y) for x, y in at.values()]
    for name, (x, y) in sorted(at.items(), key=lambda item: -item[1][1]):
        text = MODELS.get(name, name) + (f" (at {far[name][0]:.1f}%)" if name in far else "")
        wide = 7.2 * len(text) / pixel * 0.88
        for shift in sorted(range(-84, 85, 7), key=abs):
            sides = [(x + 9, x + 9 + wide, "left"), (x - 9 - wide, x - 9, "right")]
            free = [side for side in sides if left <= side[0] and side[1] <= right and _free(side, y + shift, taken)]
            if free:
                break
        begin, end, side = free[0] if free else sides[0]
        taken.append((begin, end, y + shift))
        start, offset = named[name], ((9 if side == "left" else -9) * pixel, shift * pixel)
        line = {"arrowstyle": "-", "color": "#9ca3af", "linewidth": 0.6, "shrinkA": 0, "shrinkB": 3} if abs(shift) > 7 else None
        style: dict[str, Any] = {"fontsize": 9, "weight": "bold", "va": "center", "ha": side, "color": _style(groups[name])[1], "zorder": 5}
        axes.annotate(text, start, offset, textcoords="offset points", arrowprops=line, path_effects=halo, **style)


def _free(side: tuple[float, float, str], y: float, taken: Sequence[tuple[float, float, float]]) -> bool:
    return all(side[1] < a or side[0] > b or abs(y - middle) >= 14 for a, b, middle in taken)


if __name__ == "__main__":
    raise SystemExit(side_by_side.ended(main))
