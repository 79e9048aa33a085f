"""Kendall's τ of rows of numbers, as a heat map: colour and number, its interval below, bold beyond chance, hatched where there is none."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robnas.report import style
from robnas.report.beyond.measured import Measured
from robnas.report.exhibit import Cell, Entry, Table
from robnas.report.paper.over_seeds import Who
from robnas.statistics import Correlations

MOST = 200
"""Models that a τ is of; of more a sample is drawn, always the same: pairs grow with the square."""
Array = NDArray[np.float64]


def sample(models: Sequence[Who]) -> list[Who]:
    """At most `MOST`."""
    if len(models) <= MOST:
        return list(models)
    return [models[i] for i in sorted(np.random.default_rng(0).choice(len(models), MOST, replace=False))]


def resamples(models: int) -> int:
    """Bootstraps: fewer where there are many models, as each then costs more and its ends move less."""
    return 1000 if models <= 40 else 300


def beyond(found: Correlations, chance: Array) -> NDArray[np.bool_]:
    """[X, Y] whether a τ is beyond `chance`, as `kendall_beyond` has it."""
    return np.abs(found.tau) > chance


def told(found: Correlations, chance: Array) -> str:
    """ "0.59 of 17 models, 0.79 of 10; of 5 none can be": from which |τ| on it is beyond chance."""
    there = np.isfinite(found.tau)
    least = {int(n): float(chance[there & (found.n == n)][0]) for n in sorted(set(found.n[there].tolist()), reverse=True)}
    sure = ", ".join(f"{value:.2f} of {n} models" for n, value in least.items() if value < 1)
    none = " or ".join(str(n) for n, value in least.items() if value >= 1)
    return "; ".join(filter(None, (sure, f"of {none} {'models ' * (not sure)}no τ can be: too few" if none else "")))


def heat_map(
    found: Correlations,
    rows: Sequence[Measured],
    columns: Sequence[Measured],
    chance: Array,
    shown: Callable[[int, int], bool] = lambda i, j: True,
) -> Any:
    """chance: [X, Y] of `kendall_beyond`. shown: whether (row, column) is; a table of pairs needs but half of itself."""
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

    wide, high = 0.86, 0.36
    left, top = 0.085 * max(len(m.title) for m in rows) + 0.2, 0.062 * max(len(m.title) for m in columns) + 0.35
    figure = Figure(figsize=(left + wide * len(columns) + 1.0, top + high * len(rows) + 0.1), layout="constrained")
    axes = figure.subplots()
    seen = np.where([[shown(i, j) for j in range(len(columns))] for i in range(len(rows))], found.tau, np.nan)
    image = axes.imshow(seen, cmap="PuOr_r", vmin=-1, vmax=1, aspect="auto")
    inside: dict[str, Any] = {"ha": "center", "va": "center", "in_layout": False}
    for i in range(len(rows)):
        for j in range(len(columns)):
            if not shown(i, j):
                continue
            if not math.isfinite(found.tau[i, j]):
                axes.add_patch(Rectangle((j - 0.5, i - 0.5), 1, 1, hatch="////", facecolor="none", edgecolor=style.PALE, linewidth=0))
                continue
            colour = "white" if abs(found.tau[i, j]) > 0.65 else style.INK
            bold = abs(found.tau[i, j]) > chance[i, j]
            axes.text(j, i - 0.16, signed(found.tau[i, j]), fontsize=8, color=colour, weight="bold" if bold else "normal", **inside)
            interval = f"{signed(found.low[i, j])} … {signed(found.high[i, j])}"
            axes.text(j, i + 0.24, interval, fontsize=5.5, color=colour, **inside)
    axes.set_yticks(range(len(rows)), [m.title for m in rows], fontsize=style.SMALL)
    axes.set_xticks(range(len(columns)), [m.title for m in columns], fontsize=style.SMALL, rotation=35, ha="left", rotation_mode="anchor")
    axes.xaxis.tick_top()
    axes.tick_params(length=0, labelcolor=style.INK)
    axes.spines[:].set_visible(False)
    bar = figure.colorbar(image, ax=axes, shrink=min(1.0, 2.4 / (high * len(rows))), aspect=14, pad=0.01)
    bar.set_label("Kendall's τ", fontsize=style.SMALL)
    bar.ax.tick_params(labelsize=style.SMALL)
    bar.outline.set_visible(False)
    return figure


def table(
    found: Correlations, head: str, rows: Sequence[Measured], columns: Sequence[Measured], chance: Array, shown: Callable[[int, int], bool]
) -> Table:
    """The same numbers."""
    lines: list[tuple[Entry, ...]] = []
    for i, row in enumerate(rows):
        cells = [_cell(found, i, j, chance) if shown(i, j) else "" for j in range(len(columns))]
        lines.append((row.title, *cells))
    return Table((head, *(m.title for m in columns)), tuple(lines), about={m.title: m.what for m in columns})


def _cell(found: Correlations, i: int, j: int, chance: Array) -> Cell | None:
    if not math.isfinite(found.tau[i, j]):
        return None
    flags = ("beyond chance",) if abs(found.tau[i, j]) > chance[i, j] else ()
    low, high = (float(end[i, j]) for end in (found.low, found.high))
    return Cell(float(found.tau[i, j]), low, high, signed(found.tau[i, j]), flags=flags, note=f"{int(found.n[i, j])} models")


def signed(value: float) -> str:
    """ "−0.42"; no "−0.00"."""
    return f"{value:.2f}".replace("-0.00", "0.00").replace("-", "−")
