"""Fig. 4 with what independence would give: bars for what was seen, open circles for chance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from robnas.common.vulnerability import Common

COLOURS: Mapping[str, str] = {"nas": "#c2410c", "manual": "#2563eb"}
"""Of a family's bars; grey otherwise."""


def histogram(panels: Sequence[tuple[str, Common]], draws: int = 9999) -> Any:
    """A matplotlib figure, a panel for each (title, Common): inputs over the number of models that they break."""
    from matplotlib.figure import Figure

    widths = [common.models + 2 for _, common in panels]
    figure = Figure(figsize=(1.6 + 0.62 * sum(widths), 3.9), layout="constrained")
    for axes, (title, common) in zip(np.atleast_1d(figure.subplots(1, len(panels), width_ratios=widths)), panels, strict=True):
        _draw(axes, title, common, draws)
    return figure


def _draw(axes: Any, title: str, common: Common, draws: int) -> None:
    k, low_high = np.arange(common.models + 1), common.band(draws)
    one = set(common.families)
    colour = COLOURS.get(next(iter(one)), "#6b7280") if len(one) == 1 else "#6b7280"
    axes.bar(k, common.seen, width=0.7, color=colour, alpha=0.75, label="seen")
    error = np.abs(low_high - common.expected)
    style = {"color": "black", "markerfacecolor": "white", "markersize": 6, "capsize": 3, "linewidth": 1}
    axes.errorbar(k, common.expected, yerr=error, fmt="o", label="if independent (95% of permutations)", **style)
    axes.set(xticks=k, xlabel=f"models broken, of {common.models}", ylabel=f"inputs, of {common.n}")
    axes.set_title(title, fontsize=10, loc="left")
    axes.spines[["top", "right"]].set_visible(False)
