"""Fig. 11: loss contours of NAS and manual models, (a) in the space of parameters (Eq. 12), (b) in that of inputs (Eq. 13)."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from robnas.errors import UserError
from robnas.report import names, style
from robnas.report.collected import Collected
from robnas.report.exhibit import Cell, Entry, Exhibit, Table
from robnas.report.found import Found
from robnas.report.paper import wording
from robnas.report.paper.over_seeds import Who, over_seeds, who

KEY, LABEL, TITLE = "fig-11", "Fig. 11", "Loss contours"
PLUGINS = {"contours": "(a) parameters", "input_contours": "(b) inputs"}
UNITS = {"contours": "filter norms", "input_contours": "RMS of pixels"}
PAPERS = ("darts", "enas", "resnet", "densenet")
"""The models that the paper draws; others follow in the report's order."""
EACH = 4
"""Models of a family that are drawn; the table has all."""
LEVELS = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
"""Contour lines, in nats of loss; one scale for all panels, as that of the probes' own pictures."""
NUMBERS = {"rise": "rise, nats", "flat": "flat share", "curvature": "curvature", "lipschitz": "Lipschitz ≥", "convex": "convex share"}
NEEDS = "loss contours of the rows' models: robnas probe RUN… --config contours.yaml --config input_contours.yaml"


class Contour(NamedTuple):
    """Γ [R, R] nats (of inputs: the mean over them) over grid [R]; level: nats above the middle that count as flat."""

    gamma: NDArray[np.float64]
    grid: NDArray[np.float64]
    level: float
    found: Found


def exhibit(collected: Collected) -> Exhibit:
    """A row a space, a column a model; NAS models left, manual ones right. The first seed of each is drawn."""
    rows = {plugin: _alike(collected.select(plugin=plugin, metric="rise")) for plugin in PLUGINS}
    every = [found for own in rows.values() for found in own]
    if not every:
        return Exhibit(KEY, LABEL, TITLE, "", missing=NEEDS)
    models = _chosen({who(found) for found in every})
    drawn = {(plugin, name): contour for plugin in PLUGINS for name in models if (contour := _contour(rows[plugin], name)) is not None}
    shown = [plugin for plugin in PLUGINS if any(p == plugin for p, _ in drawn)]
    figure = _figure(drawn, shown, models) if drawn else None
    return Exhibit(KEY, LABEL, TITLE, _caption(every, rows, models), figure, _table(collected, rows), _missing(drawn, rows, models))


def _alike(rows: Sequence[Found]) -> list[Found]:
    """Of rows measured in several ways (data, protocol, radius, …) those of the way that most models were measured in: a picture "
    "compares."""
    ways: dict[tuple[str, str, str], list[Found]] = {}
    for found in rows:
        if str(found.params.get("at", "")).startswith("epoch_") or found.treatment:
            continue
        way = (found.dataset, found.row.protocol, json.dumps(found.params, sort_keys=True, default=str))
        ways.setdefault(way, []).append(found)
    return max(ways.values(), key=lambda own: len({who(found) for found in own}), default=[])


def _chosen(models: set[Who]) -> list[Who]:
    """The paper's four, then others in order, `EACH` a family; in the order of columns."""
    kept: list[Who] = []
    for family in names.FAMILIES:
        own = sorted((m for m in models if m.family == family), key=lambda m: (m.model not in PAPERS, m.order))
        kept += sorted(own[:EACH], key=lambda m: m.order)
    return kept


def _contour(rows: Sequence[Found], name: Who) -> Contour | None:
    """None where a model has none, or its arrays are gone."""
    for found in sorted((f for f in rows if who(f) == name), key=lambda f: (f.seed or 0, f.place)):
        try:
            arrays = found.outcomes()
            gamma, grid = np.asarray(arrays["gamma"], dtype=np.float64), np.asarray(arrays["grid"], dtype=np.float64)
        except (UserError, OSError, KeyError, ValueError):
            continue
        if gamma.ndim == 3 and len(gamma):
            gamma = gamma.mean(0)
        if gamma.shape == (len(grid), len(grid)) and len(grid) >= 3:
            return Contour(gamma, grid, float(found.params.get("level") or 1.0), found)
    return None


def _figure(drawn: dict[tuple[str, Who], Contour], shown: Sequence[str], models: Sequence[Who]) -> Any:
    from matplotlib.figure import Figure

    side = max(1.15, min(1.9, (style.WIDTH - 1.6) / len(models)))
    figure = Figure(figsize=(1.6 + side * len(models), 0.3 + (side + 0.6) * len(shown)), layout="constrained")
    panels = figure.subplots(len(shown), len(models), squeeze=False)
    filled = None
    for row, plugin in zip(panels, shown, strict=True):
        for i, (axes, name) in enumerate(zip(row, models, strict=True)):
            contour = drawn.get((plugin, name))
            if contour is None:
                _empty(axes)
            else:
                filled = _map(axes, contour)
            colour = style.look(name.family).colour
            rise = "" if contour is None else f"\nrise {_short(contour.found.value)}"
            axes.set_title(f"{name.title}{rise}", fontsize=style.TEXT, color=colour)
            if i == 0:
                axes.set_ylabel(f"{PLUGINS[plugin]}\nα ({UNITS[plugin]})", fontsize=style.SMALL)
            else:
                axes.set_yticklabels([])
            axes.set_xlabel("β", fontsize=style.SMALL, labelpad=1)
    if filled is not None:
        bar = figure.colorbar(filled, ax=panels, shrink=0.9, label="loss (nats)", ticks=np.log10(LEVELS))
        bar.ax.set_yticklabels([f"{v:g}" for v in LEVELS])
        bar.ax.tick_params(labelsize=style.SMALL)
    return figure


def _map(axes: Any, contour: Contour) -> Any:
    """Colours on a logarithmic scale; in white the contour `level` nats above the middle."""
    import matplotlib as mpl
    from matplotlib.colors import BoundaryNorm

    colours, levels = mpl.colormaps["viridis"], np.log10(LEVELS)
    seen = np.nan_to_num(np.maximum(contour.gamma, 1e-6), nan=1e6, posinf=1e6)  # what overflowed lies above all levels
    z, grid = np.log10(seen), contour.grid
    filled = axes.contourf(grid, grid, z, levels=levels, cmap=colours, norm=BoundaryNorm(levels, colours.N, extend="both"), extend="both")
    axes.contour(grid, grid, z, levels=levels, colors="black", linewidths=0.3, linestyles="solid", alpha=0.5)
    middle = len(grid) // 2
    above = math.log10(seen[middle, middle] + contour.level)
    if z.min() < above < z.max():
        axes.contour(grid, grid, z, levels=[above], colors="white", linewidths=1.4, linestyles="solid")
    axes.plot(0, 0, "+", color="white", markersize=6)
    axes.set_aspect("equal")
    axes.set(xticks=[grid[0], 0, grid[-1]], yticks=[grid[0], 0, grid[-1]])
    axes.tick_params(labelsize=style.SMALL - 1)
    return filled


def _empty(axes: Any) -> None:
    """Not there: hatched."""
    axes.set(xticks=[], yticks=[], aspect="equal")
    axes.patch.set(hatch="////", edgecolor=style.PALE, facecolor="white")
    axes.text(0.5, 0.5, "no contour", transform=axes.transAxes, ha="center", va="center", fontsize=style.SMALL, color=style.FAINT)


def _table(collected: Collected, rows: dict[str, list[Found]]) -> Table:
    """What "flatter" is in numbers, of all models, over seeds."""
    found = {}
    for plugin, own in rows.items():
        measured = {json.dumps(f.params, sort_keys=True, default=str) for f in own}
        for metric in NUMBERS:
            same = [
                f
                for f in collected.select(plugin=plugin, metric=metric)
                if json.dumps(f.params, sort_keys=True, default=str) in measured
                and (f.dataset, f.row.protocol) == (own[0].dataset, own[0].row.protocol)
            ]
            if worth := over_seeds(same):
                found[plugin, metric] = worth
    models = sorted({name for worth in found.values() for name in worth}, key=lambda name: name.order)
    lines: list[tuple[Entry, ...]] = []
    for name in models:
        cells: list[Cell | None] = [w.cell() if (w := worth.get(name)) else None for worth in found.values()]
        lines.append((name.title, *cells))
    columns = ("model", *(f"{PLUGINS[plugin]}: {NUMBERS[metric]}" for plugin, metric in found))
    return Table(columns, tuple(lines), tuple(style.look(name.family).title for name in models))


def _caption(every: Sequence[Found], rows: dict[str, list[Found]], models: Sequence[Who]) -> str:
    told = [
        f"{PLUGINS[plugin]}: {names.data(own[0].dataset)}, {own[0].row.protocol}, mean loss of {own[0].row.n} inputs"
        for plugin, own in rows.items()
        if own
    ]
    left = len({who(found) for found in every}) - len(models)
    return wording.sentences(
        "Γ(α, β) along two random, orthogonal directions (Eqs 12, 13), the same for all models, in one scale of colours; white: as "
        "many nats "
        "above the middle as the probe counts as flat. Of several seeds the first is drawn; the table has the numbers over seeds.",
        "; ".join(told) + ".",
        "In (a) directions are filter-normalised, so that a step is as large as the weights; the paper does not say how long its are. "
        "In (b) a "
        "pixel may leave [0, 1].",
        f"{left} more models stand in the table." if left else "",
        "The paper says that the landscape of NAS models is flatter: rise is the mean over the grid above the middle, flat the share "
        "of the grid "
        "inside the white line.",
        wording.reduced(every),
    )


def _missing(drawn: dict[tuple[str, Who], Contour], rows: dict[str, list[Found]], models: Sequence[Who]) -> str:
    said = []
    for plugin, name in PLUGINS.items():
        gone = [m.title for m in models if (plugin, m) not in drawn]
        if gone:
            config = f"robnas probe RUN… --config {plugin}.yaml"
            said.append(f"contours in {name[4:]} of {'every model' if len(gone) == len(models) else ', '.join(gone)}: {config}")
    families = {m.family for m in models}
    said += [
        f"{style.look(f).title} models, to compare with" for f in ("nas", "manual") if f not in families and families & {"nas", "manual"}
    ]
    return "; ".join(said)


def _short(value: float) -> str:
    return f"{value:.3g}" if math.isfinite(value) else "not finite"
