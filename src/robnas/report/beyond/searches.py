"""What n_step and γ do to the cells that a search finds (§5.2), beside random cells of the same space."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any, NamedTuple

import numpy as np

from robnas.report import style
from robnas.report.collected import Collected
from robnas.report.exhibit import Cell, Entry, Exhibit, Table
from robnas.report.paper.cells_found import Search
from robnas.report.paper.cells_found import searches as searches_of
from robnas.report.searched import VARIANTS
from robnas.space.facts import RANDOM_CELLS
from robnas.space.percentile import random_genotypes
from robnas.statistics import student

KEY, TITLE = "mitigation-searches", "What n_step and γ do to the cells that DARTS finds"
FACTS = {"depth": "depth", "width": "width", "skips": "skip connects"}
MOST = 8
"""Edges of a cell with four nodes, and so the most skip connects; no fact of it is larger."""
COLOURS = ("#c2410c", "#0d9488", "#7c3aed", "#111827")
MARKERS = ("o", "D", "^", "v")
"""By n_step."""


class Setting(NamedTuple):
    """n_step; damping: "½ on weight", "1"."""

    n_step: int
    damping: str


def exhibit(collected: Collected) -> Exhibit:
    """A panel a fact of the normal cell, a column a γ, a mark an n_step."""
    own = [search for search in searches_of(collected) if search.variant in VARIANTS and search.genotype is not None]
    groups: dict[Setting, list[Search]] = {}
    for search in own:
        groups.setdefault(Setting(search.n_step, search.damping), []).append(search)
    if len(groups) < 2:
        needed = (
            "searches of DARTS with several n_step or γ: robnas fit --config darts_i.yaml, darts_ii.yaml, … (robnas study mitigation.yaml)"
        )
        return Exhibit(KEY, "", TITLE, "", missing=needed)
    return Exhibit(KEY, "", TITLE, _caption(groups), _figure(groups), _table(groups))


def values(own: Sequence[Search], fact: str) -> list[float]:
    """Of the normal cell, a value a search."""
    return [float(getattr(search.genotype.normal, fact)) for search in own if search.genotype is not None]


def interval(found: Sequence[float]) -> tuple[float | None, float | None]:
    """Student's over seeds, as far as it can be: none of these numbers is below 0 or above `MOST`; None of one."""
    low, high = student(found) if len(found) > 1 else (-math.inf, math.inf)
    return (max(0.0, low), min(float(MOST), high)) if math.isfinite(low) else (None, None)


def _figure(groups: Mapping[Setting, list[Search]]) -> Any:
    figure, panels = style.grid(1, len(FACTS), 3.6)
    columns = sorted({setting.damping for setting in groups}, key=lambda damping: (damping != "1", damping[2:], damping))
    steps = sorted({setting.n_step for setting in groups})
    for axes, (fact, title) in zip(panels[0], FACTS.items(), strict=True):
        random = [float(getattr(g.normal, fact)) for g in random_genotypes(4, RANDOM_CELLS)]
        low, high = np.quantile(random, [0.25, 0.75])
        axes.axhspan(low - 0.05, high + 0.05, color="#f3f4f6", linewidth=0, zorder=0)
        axes.axhline(fmean(random), color=style.FAINT, linewidth=1, zorder=1)
        for i, n_step in enumerate(steps):
            look = {"color": COLOURS[i % len(COLOURS)], "marker": MARKERS[i % len(MARKERS)], "linestyle": ""}
            for j, damping in enumerate(columns):
                if (setting := Setting(n_step, damping)) in groups:
                    _point(axes, j + (i - (len(steps) - 1) / 2) * 0.28, values(groups[setting], fact), look)
        axes.set_xticks(range(len(columns)), [f"γ = {c}".replace(" on ", "\non ") for c in columns], fontsize=style.SMALL)
        axes.set(xlim=(-0.6, len(columns) - 0.4), ylim=(-0.3, MOST + 0.3))
        style.title(axes, f"{title} of the normal cell")
    named = {
        f"n_step {n}": {"color": COLOURS[i % 4], "marker": MARKERS[i % 4], "linestyle": "", "markersize": 6} for i, n in enumerate(steps)
    }
    style.key(figure, [], more=named | {"random cells: mean, middle half": {"color": style.FAINT, "linewidth": 1}})
    return figure


def _point(axes: Any, x: float, found: Sequence[float], look: Mapping[str, Any]) -> None:
    beside = [x + 0.045 * (found[:k].count(v) - (found.count(v) - 1) / 2) for k, v in enumerate(found)]
    axes.plot(beside, found, **look, markersize=3, alpha=0.45, markeredgewidth=0, zorder=2)
    low, high = interval(found)
    if low is not None:
        axes.plot([x, x], [low, high], color=look["color"], linewidth=1.2, zorder=3)
    axes.plot(x, fmean(found), **look, markersize=7, markeredgecolor="white", zorder=4)


def _table(groups: Mapping[Setting, list[Search]]) -> Table:
    rows: list[tuple[Entry, ...]] = []
    for setting, own in sorted(groups.items()):
        cells = []
        for fact in FACTS:
            found = values(own, fact)
            low, high = interval(found)
            cells.append(
                Cell(fmean(found), low, high, f"{fmean(found):.1f}", note=f"{len(found)} searches", runs=tuple(s.place for s in own))
            )
        rows.append((f"n_step {setting.n_step}, γ = {setting.damping}", *cells, Cell(len(own), text=str(len(own)))))
    random = [[float(getattr(g.normal, fact)) for g in random_genotypes(4, RANDOM_CELLS)] for fact in FACTS]
    rows.append(
        (
            "random cells",
            *(Cell(fmean(found), text=f"{fmean(found):.2f}") for found in random),
            Cell(RANDOM_CELLS, text=f"{RANDOM_CELLS:,}"),
        )
    )
    return Table(("search", *FACTS.values(), "cells"), tuple(rows))


def _caption(groups: Mapping[Setting, list[Search]]) -> str:
    seeds = [len(own) for own in groups.values()]
    return (
        f"Normal cells of {sum(seeds)} searches of DARTS, {min(seeds)} to {max(seeds)} seeds a setting. Small marks are searches, bars "
        f"Student's "
        "95% intervals over them; equal values of all seeds show no spread, which is no proof that there is none. §5.2 expects n_step "
        "> 1 to "
        "deepen cells and γ < 1 to thin out skip connects. Grey: where half of the random cells of the same space lie, and their mean; "
        "what "
        "nobody searched for is no effect of a search. γ on the weight always suppresses; on α, which is the paper's letter, it raises a "
        "negative α."
    )
