"""How every figure of the report is drawn: a family is a colour and a shape, models stand in one order, a seed is a small mark.

Figures are made by `Figure()`, never by pyplot, so that nothing is shown, kept or asked of a display.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from robnas.report import names

INK, FAINT, PALE = "#1f2937", "#9ca3af", "#e5e7eb"
"""Of text; of what is beside the point; of guides and of what is missing."""
SMALL, TEXT = 8, 9
"""Font sizes, in points."""
WIDTH = 10.5
"""Of a figure across the page, in inches."""
ROW, TIGHT = 0.21, 0.12
"""Of a model's row in `forest`, in inches; where there are more than `MANY`."""
MANY = 40
"""Models beyond which rows are tight."""
FEW = 6
"""Curves of which each has its intervals."""


class Mark(NamedTuple):
    """A model's number.

    Args:
        model, family: as rows have them.
        value: of all seeds together; None: there is none, which is hatched and never drawn as 0.
        low, high: its interval; None where there is none.
        seeds: the number of each seed, drawn small where there are several.
        published: the paper's number on the same data set, drawn pale.
    """

    model: str
    family: str
    value: float | None = None
    low: float | None = None
    high: float | None = None
    seeds: tuple[float, ...] = ()
    published: float | None = None


def look(family: str) -> names.Look:
    """Of a family; that of "custom" for one that we do not know."""
    return names.FAMILIES.get(family, names.FAMILIES["custom"])


def paler(colour: str, share: float = 0.6) -> str:
    """The colour with that share of white: what is published, not measured."""
    parts = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return "#" + "".join(f"{round(255 * share + (1 - share) * part):02x}" for part in parts)


def grid(rows: int, columns: int, height: float, width: float = WIDTH, **more: Any) -> tuple[Any, NDArray[Any]]:
    """A figure and its axes, [rows, columns], always two-dimensional. height: of the whole figure, in inches."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, **more)
    for one in axes.flat:
        tidy(one)
    return figure, axes


def tidy(axes: Any) -> None:
    """Two spines, small ticks, quiet colours."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(FAINT)
    axes.tick_params(labelsize=SMALL, color=FAINT, labelcolor=INK)
    axes.set_axisbelow(True)


def title(axes: Any, text: str) -> None:
    """To the left, above."""
    axes.set_title(words(text), fontsize=TEXT, loc="left", color=INK)


def words(text: str) -> str:
    """Text that is drawn as it is: matplotlib would read what stands between two "$" as a formula, and a name may have them."""
    return text.replace("$", r"\$")


def jitter(n: int, width: float = 0.5) -> NDArray[np.float64]:
    """[n] offsets of seeds, evenly within ± width / 2; the same in every figure, as nothing is drawn by lot. One seed: 0."""
    return np.zeros(1) if n == 1 else np.linspace(-width / 2, width / 2, n)


def forest_height(models: int, families: int = 2) -> float:
    """Inches that `forest` needs, labels included."""
    return 0.75 + (ROW if models <= MANY else TIGHT) * (models + 0.7 * max(0, families - 1) + 1)


def places(models: Sequence[tuple[str, str]]) -> dict[tuple[str, str], float]:
    """(model, family) in order → y of each; a gap between families. Two families may have a model of the same name."""
    at, before, found = 0.0, None, {}
    for model, family in models:
        at += 0.7 if before not in (None, family) else 0.0
        found[model, family], before = at, family
        at += 1
    return found


def forest(
    axes: Any,
    marks: Sequence[Mark],
    xlabel: str,
    limits: tuple[float, float] | None = None,
    named: bool = True,
    middle: Callable[[list[float]], Any] | None = np.mean,
) -> None:
    """A row a model, top down: mean with interval, seeds beside it, the published value pale, a dashed line at the mean of a family.

    marks: in the order of rows. named: whether names stand at the left. middle: what the dashed line is of a family; None: no line.
    """
    y = places([mark[:2] for mark in marks])
    from matplotlib.collections import LineCollection

    rows = [((0, at), (1, at)) for at in y.values()]
    across = axes.get_yaxis_transform()
    axes.add_collection(LineCollection(rows, colors=PALE, linewidths=0.6, zorder=0, transform=across), autolim=False)
    for family in dict.fromkeys(mark.family for mark in marks):
        own = [mark for mark in marks if mark.family == family]
        there = [mark.value for mark in own if mark.value is not None]
        if len(there) > 1 and middle is not None:
            ends = y[own[0][:2]] - 0.5, y[own[-1][:2]] + 0.5
            axes.plot([middle(there)] * 2, ends, "--", color=paler(look(family).colour, 0.4), linewidth=1, zorder=1)
    for family in dict.fromkeys(mark.family for mark in marks):
        _marks(axes, [(y[mark[:2]], mark) for mark in marks if mark.family == family], look(family))
    if named:
        axes.set_yticks(list(y.values()), [words(names.model(mark.model)) for mark in marks])
    else:
        axes.set_yticks([])
    axes.tick_params(axis="y", length=0, labelsize=SMALL if len(y) <= MANY else SMALL - 2.5)
    axes.spines["left"].set_visible(False)
    axes.set_ylim(max(y.values(), default=0) + 0.8, -0.8)
    if limits:
        axes.set_xlim(*limits)
    axes.set_xlabel(xlabel, fontsize=SMALL, color=INK)
    _hatch([(axes, y[mark[:2]]) for mark in marks if mark.value is None])


def _marks(axes: Any, marks: Sequence[tuple[float, Mark]], style: names.Look) -> None:
    """(y, mark) of a family. What looks alike is drawn in one go: a call for each mark takes longer than all else in a report."""
    from matplotlib.collections import LineCollection

    published = [(mark.published, y) for y, mark in marks if mark.published is not None]
    if published:
        pale = {"markerfacecolor": paler(style.colour, 0.75), "markeredgecolor": paler(style.colour, 0.35)}
        axes.plot(*zip(*published, strict=True), "D", markersize=6.5, markeredgewidth=0.9, zorder=2, **pale)
    there = [(y, mark) for y, mark in marks if mark.value is not None]
    seeds = [
        (seed, at) for y, mark in there if len(mark.seeds) > 1 for seed, at in zip(mark.seeds, y + jitter(len(mark.seeds)), strict=True)
    ]
    if seeds:
        small = {"color": style.colour, "markersize": 2.8, "alpha": 0.55, "markeredgewidth": 0, "zorder": 3}
        axes.plot(*zip(*seeds, strict=True), style.marker, **small)
    intervals = [((mark.low, y), (mark.high, y)) for y, mark in there if mark.low is not None and mark.high is not None]
    if intervals:
        axes.add_collection(LineCollection(intervals, colors=style.colour, linewidths=1.3, capstyle="butt", zorder=4))
    if there:
        middle = {"color": style.colour, "markersize": 5.5, "markeredgecolor": "white", "markeredgewidth": 0.6, "zorder": 5}
        axes.plot([mark.value for _, mark in there], [y for y, _ in there], style.marker, **middle)


def _hatch(empty: Iterable[tuple[Any, float]]) -> None:
    """What is not there is hatched."""
    for axes, y in empty:
        box = {"facecolor": "none", "edgecolor": PALE, "hatch": "////", "linewidth": 0, "zorder": 0}
        axes.axhspan(y - 0.32, y + 0.32, **box)


def key(
    figure: Any, families: Iterable[str], *, seeds: bool = False, published: bool = False, more: Mapping[str, Any] | None = None
) -> None:
    """A legend below the figure: families that are there, what small and pale marks are. more: words → a line's style."""
    from matplotlib.lines import Line2D

    there = set(families)
    handles = [
        Line2D([], [], color=style.colour, marker=style.marker, linestyle="", markersize=6, label=style.title)
        for family, style in names.FAMILIES.items()
        if family in there
    ]
    grey: dict[str, Any] = {"color": FAINT, "linestyle": ""}
    if seeds:
        handles.append(Line2D([], [], marker="o", markersize=3, label="a seed", **grey))
    if published:
        pale: dict[str, Any] = {"markerfacecolor": paler(FAINT, 0.7), "markeredgecolor": FAINT}
        handles.append(Line2D([], [], marker="D", markersize=6, label="published", **grey | pale))
    handles += [Line2D([], [], label=label, **{"color": FAINT, **style}) for label, style in (more or {}).items()]
    figure.legend(handles=handles, loc="outside lower center", ncols=max(1, len(handles)), frameon=False, fontsize=SMALL, labelcolor=INK)


def log_ticks(axes: Any, values: Sequence[float], shown: Mapping[float, str] | None = None) -> None:
    """A logarithmic abscissa with ticks at the very values, so far as they have room. shown: their names; as numbers if not given."""
    from matplotlib.ticker import NullLocator

    axes.set_xscale("log")
    ticks = sorted(set(values))
    if not ticks:
        return
    room, kept = math.log(ticks[-1] / ticks[0]) / 14 if ticks[-1] > ticks[0] else 0.0, ticks[:1]
    for tick in ticks[1:]:
        if math.log(tick / kept[-1]) >= room:
            kept.append(tick)
    axes.set_xticks(kept, [(shown or {}).get(tick, f"{tick:g}") for tick in kept])
    axes.xaxis.set_minor_locator(NullLocator())


def percent_axis(axes: Any, which: str = "x") -> None:
    """Proportions are shown in percent."""
    from matplotlib.ticker import FuncFormatter

    getattr(axes, f"{which}axis").set_major_formatter(FuncFormatter(_percent))  # no lambda: a figure can be sent to another process


def _percent(value: float, _: object) -> str:
    return f"{100 * value:.4g}%".replace("-", "−")


def few_ticks(axes: Any, most: int = 5) -> None:
    """So that numbers of a narrow panel have room."""
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(most))
