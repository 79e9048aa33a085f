"""Cells beside their robustness: normal cells, the most robust above, with accuracy and robust accuracy on one axis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from robnas.comparison import Place, places
from robnas.report import names, style
from robnas.report.beyond.robust import Robust, robust_accuracy
from robnas.report.collected import Collected
from robnas.report.exhibit import Exhibit
from robnas.report.paper import wording
from robnas.report.paper.cells_found import of_models
from robnas.report.paper.cells_picture import rows_of_cells
from robnas.report.paper.over_seeds import Who
from robnas.space.genotype import Genotype

KEY, TITLE = "cells-robustness", "Cells beside their robustness"
MOST = 8
"""Cells that are drawn: the most and the least robust half of them."""
BESIDE = 5.6
"""Inches for the axis."""
Z = 1.96
"""Standard errors from a mean to the end of its 95% interval."""


def exhibit(collected: Collected) -> Exhibit:
    """Needs robust accuracy of models that have cells."""
    found = robust_accuracy(collected)
    cells = {} if found is None else of_models(found.rows)
    ranked = [] if found is None else sorted((n for n in cells if n in found.robust), key=lambda n: (-found.robust[n].value, n.order))
    if found is None or not ranked:
        needed = "cells with robust accuracies: robnas attack RUN… --config pgd.yaml of models that are made of cells"
        return Exhibit(KEY, "", TITLE, "", missing=needed)
    shown = ranked if len(ranked) <= MOST else [*ranked[: MOST // 2], *ranked[-MOST // 2 :]]
    return Exhibit(KEY, "", TITLE, _caption(found, ranked, shown), _figure(found, {name: cells[name] for name in shown}, ranked))


def ranks(found: Robust, of: Sequence[Who]) -> dict[Who, Place]:
    """Of each the places that it may have: cells nearer to each other than noise would let them be told apart are tied."""
    worth = {name: found.robust[name] for name in of}
    errors = {str(i): (w.high - w.low) / (2 * Z) for i, w in enumerate(worth.values()) if w.low is not None and w.high is not None}
    placed = places({str(i): w.each for i, w in enumerate(worth.values())}, errors=errors)
    return {of[int(place.model)]: place for place in placed}


def _figure(found: Robust, cells: Mapping[Who, Genotype], of: Sequence[Who]) -> Any:
    place = ranks(found, of)
    titles = {f"{name.title}, place {place[name]} of {len(of)}": genotype for name, genotype in cells.items()}
    figure, page, middles = rows_of_cells(titles, ("normal",), beside=BESIDE + 0.6)
    width, height = page.get_xlim()[1], page.get_ylim()[1]
    axes = figure.add_axes(((width - BESIDE) / width, 0.75 / (height + 0.75), (BESIDE - 0.3) / width, height / (height + 0.75)))
    _make_room(figure, page, 0.75)
    axes.set(ylim=(0, height), yticks=[])
    for y, name in zip(middles, cells, strict=True):
        axes.axhline(y, color=style.PALE, linewidth=0.8, zorder=0)
        worth = {"accuracy": found.accuracy.get(name), "robust": found.robust[name]}
        for what, own in worth.items():
            if own is None:
                continue
            face = style.look(name.family).colour if what == "robust" else "white"
            if own.low is not None and own.high is not None:
                axes.plot([own.low, own.high], [y, y], color=style.paler(style.look(name.family).colour, 0.3), linewidth=2, zorder=2)
            axes.plot(own.value, y, "o", color=style.look(name.family).colour, markerfacecolor=face, markersize=9, zorder=3)
            axes.annotate(
                f"{100 * own.value:.1f}%", (own.value, y), (0, 11), textcoords="offset points", ha="center", fontsize=10, color=style.INK
            )
    style.tidy(axes)
    axes.spines["left"].set_visible(False)
    axes.margins(x=0.08)
    axes.set_xlabel("filled: robust accuracy; open: test accuracy", fontsize=11, color=style.INK)
    axes.tick_params(labelsize=10)
    style.percent_axis(axes)
    axes.grid(axis="x", color=style.PALE, linewidth=0.6)
    return figure


def _make_room(figure: Any, page: Any, inches: float) -> None:
    """Below, for the axis."""
    width, height = figure.get_size_inches()
    figure.set_size_inches(width, height + inches)
    page.set_position((0, inches / (height + inches), 1, height / (height + inches)))


def _caption(found: Robust, ranked: list[Who], shown: list[Who]) -> str:
    left = len(ranked) - len(shown)
    return wording.sentences(
        f"Normal cells on {names.data(found.dataset)}, the most robust above. Robust: right on every image that {found.how} tried.",
        f"Of {len(ranked)} cells the {MOST // 2} most and the {MOST // 2} least robust." if left else "",
        "A range of places is a tie: nearer than the smallest difference of two cells that would be seen four times in five, by the spread "
        "of seeds, or of one seed by its interval over inputs.",
        wording.INTERVALS,
        wording.reduced(found.rows),
    )
