"""Lines of models over a quantity, with their names ranked beside."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from robnas.report import names
from robnas.report.style import FAINT, FEW, INK, PALE, SMALL, Mark, look, words

LABELLED = 20
"""Curves that have room for their names beside them."""


class Line(NamedTuple):
    """A model's numbers over a quantity. x: ascending; marks: one for each of them."""

    model: str
    family: str
    x: tuple[float, ...]
    marks: tuple[Mark, ...]


def draw(
    axes: Any,
    lines: Sequence[Line],
    xlabel: str,
    ylabel: str,
    shown: Callable[[float], str] = "{:.3g}".format,
    name: Callable[[float], str] = "{:g}".format,
) -> None:
    """A line a model, names ranked beside. Up to six have their intervals; of more the mean of each family is drawn, thick.

    shown: how a value is written; name: a place on the abscissa.
    """
    few = len(lines) <= FEW
    for line in lines:
        style = look(line.family)
        points = [(x, mark) for x, mark in zip(line.x, line.marks, strict=True) if mark.value is not None]
        x, y = [x for x, _ in points], [float(mark.value or 0) for _, mark in points]
        thin = {"linewidth": 1.3 if few else 0.8, "alpha": 1.0 if few else 0.45, "markersize": 4.5 if few else 2.5}
        axes.plot(x, y, marker=style.marker, color=style.colour, zorder=3, **thin)
        for at, mark in points if few else ():
            if mark.low is not None and mark.high is not None:
                axes.plot([at, at], [mark.low, mark.high], color=style.colour, linewidth=1, alpha=0.8, zorder=2)
    if not few:
        _family_means(axes, lines)
    axes.grid(axis="y", color=PALE, linewidth=0.6)
    axes.set_xlabel(xlabel, fontsize=SMALL, color=INK)
    axes.set_ylabel(ylabel, fontsize=SMALL, color=INK)
    if len(lines) <= LABELLED:
        _ranked(axes, lines, shown, name)


def _family_means(axes: Any, lines: Sequence[Line]) -> None:
    """Where all models of a family have a number; the mean of some of them would jump as others come and go."""
    for family in dict.fromkeys(line.family for line in lines):
        own = [line for line in lines if line.family == family]
        if len(own) < 2:
            continue
        at: dict[float, list[float]] = {}
        for line in own:
            for x, mark in zip(line.x, line.marks, strict=True):
                if mark.value is not None:
                    at.setdefault(x, []).append(mark.value)
        shared = sorted(x for x, values in at.items() if len(values) == len(own))
        style = look(family)
        thick = {"linewidth": 2.6, "markersize": 6, "markeredgecolor": "white", "markeredgewidth": 0.7, "zorder": 5}
        axes.plot(shared, [np.mean(at[x]) for x in shared], marker=style.marker, color=style.colour, **thick)


def _ranked(axes: Any, lines: Sequence[Line], shown: Callable[[float], str], name: Callable[[float], str]) -> None:
    """Models to the right, ranked where they are farthest apart; a dotted line stands there. In a colour that many share, no line could be
    followed to a name at its end, least of all where all of them end at 100%.
    """
    at: dict[float, list[float]] = {}
    for line in lines:
        for x, mark in zip(line.x, line.marks, strict=True):
            if mark.value is not None:
                at.setdefault(x, []).append(mark.value)
    if not at:
        return
    most = max(map(len, at.values()))
    spread = {x: float(np.std(found)) for x, found in at.items() if len(found) == most}
    apart = max(x for x in spread if spread[x] >= 0.9 * max(spread.values()))
    values = {line: mark.value for line in lines for x, mark in zip(line.x, line.marks, strict=True) if x == apart}
    ranked = sorted((line for line in lines if values.get(line) is not None), key=lambda line: -float(values[line] or 0))
    if len(at) > 1:
        axes.axvline(apart, color=FAINT, linewidth=0.8, linestyle=":", zorder=1)
    said = [(f"at {name(apart)}", INK)]
    said += [(f"{shown(float(values[line] or 0))}  {names.model(line.model)}", look(line.family).colour) for line in ranked]
    said += [(f"no value  {names.model(line.model)}", look(line.family).colour) for line in lines if line not in ranked]
    for k, (text, colour) in enumerate(said):
        place: dict[str, Any] = {"xycoords": "axes fraction", "textcoords": "offset points", "va": "top", "fontsize": SMALL - 1}
        axes.annotate(words(text), (1, 1), (8, -k * 1.3 * (SMALL - 1)), color=colour, **place)
