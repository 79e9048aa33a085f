"""Figs 16 and 17: a line each for DARTS and its variants, which are of one family and so need looks of their own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from robnas.report import names, style
from robnas.report.collected import Collected
from robnas.report.exhibit import Exhibit
from robnas.report.paper import over
from robnas.report.paper.forests import Quantity
from robnas.report.paper.over import Abscissa, Sweep
from robnas.report.paper.over_seeds import Who
from robnas.report.searched import VARIANTS


class Look(NamedTuple):
    """colour, marker and dashes: two of them tell lines apart without the third."""

    colour: str
    marker: str
    dashes: str


LOOKS = dict(
    zip(
        VARIANTS,
        (Look("#c2410c", "o", "-"), Look("#7c3aed", "^", "--"), Look("#0d9488", "D", "-."), Look("#111827", "v", ":")),
        strict=True,
    )
)


def exhibit(collected: Collected, quantity: Quantity, abscissa: Abscissa, **about: str) -> Exhibit:
    """As `over.exhibit`, of the four models alone."""
    quantity = replace(quantity, rows=[found for found in quantity.rows if found.model in VARIANTS])
    found = over.exhibit(collected, [quantity], abscissa, **about)
    sweep = Sweep.of(collected, quantity, abscissa)
    there = {found.model for found in quantity.rows}
    gone = [names.model(name) for name in VARIANTS if name not in there]
    missing = "; ".join(filter(None, (found.missing, f"rows of {', '.join(gone)}" if gone and there else "")))
    drawn = _draw(sweep) if len(sweep.x()) > 1 else found.figure
    return replace(found, figure=drawn, missing=missing)


def _draw(sweep: Sweep) -> Any:
    """A panel a setting."""
    settings = [setting for setting in sweep.chosen if sweep.worth.get(setting)]
    columns = min(2, len(settings))
    lines = -(-len(settings) // columns)
    figure, panels = style.grid(lines, columns, 0.5 + 3.0 * lines, style.WIDTH if columns == 2 else 6.5)
    models = sorted({one for own in sweep.worth.values() for one in own}, key=lambda one: one.order)
    for axes, (dataset, protocol) in zip(panels.flat, settings, strict=False):
        _panel(axes, sweep, (dataset, protocol), models)
        style.title(axes, f"{names.data(dataset)}, {protocol}")
    for axes in panels.flat[len(settings) :]:
        axes.set_axis_off()
    handles = [panels[0, 0].plot([], [], **_line(one), markersize=6, linewidth=1.6)[0] for one in models]
    figure.legend(
        handles, [one.title for one in models], loc="outside lower center", ncols=len(models), frameon=False, fontsize=style.SMALL
    )
    return figure


def _panel(axes: Any, sweep: Sweep, setting: tuple[str, str], models: Sequence[Who]) -> None:
    places, shown = sweep.x(setting), sweep.over.shown
    axes.set_xticks(range(len(places)), [shown(x) for x in places])  # evenly: beside each other, intervals can be read
    for i, one in enumerate(models):
        own = sweep.worth[setting].get(one, {})
        beside = (i - (len(models) - 1) / 2) * 0.06
        at = [(places.index(x) + beside, worth) for x, worth in own.items()]
        axes.plot([x for x, _ in at], [w.value for _, w in at], **_line(one), markersize=5.5, linewidth=1.5, zorder=3)
        for x, w in at:
            if w.low is not None and w.high is not None:
                axes.plot([x, x], [w.low, w.high], color=_line(one)["color"], linewidth=1, alpha=0.7, zorder=2)
    if sweep.quantity.guide is not None:
        axes.axhline(sweep.quantity.guide, color=style.FAINT, linewidth=0.8, linestyle=":")
    axes.grid(axis="y", color=style.PALE, linewidth=0.6)
    axes.set_xlabel(sweep.over.name, fontsize=style.SMALL)
    axes.set_ylabel(sweep.quantity.axis, fontsize=style.SMALL)
    if sweep.quantity.share:
        style.percent_axis(axes, "y")


def _line(one: Who) -> dict[str, Any]:
    look = LOOKS[one.model]
    return {
        "color": look.colour,
        "marker": look.marker,
        "linestyle": look.dashes,
        "markerfacecolor": "white" if one.searched else look.colour,
    }
