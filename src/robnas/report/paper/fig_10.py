"""Fig. 10: membership inference by labels alone, as ROC curves and the area below them (AUC)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robnas.errors import UserError
from robnas.report import names, style
from robnas.report.collected import Collected
from robnas.report.exhibit import Exhibit
from robnas.report.found import Found
from robnas.report.paper import forests, wording
from robnas.report.paper.forests import Drawn, Quantity
from robnas.report.paper.over_seeds import Who, who
from robnas.report.paper.variants import by_setting, printed

ATTACKS = ("hopskipjumpdistance", "noiserobustness", "lira", "confidence", "loss")
"""The paper's first, then others that ask for labels alone, then those that see scores."""
GRID = np.arange(101) / 100
"""False positive rates at which curves are drawn."""


def exhibit(collected: Collected) -> Exhibit:
    """The paper's attack where a study has it, else the nearest; the table has all of them."""
    rows = collected.select(metric="auc", kind="attack")
    there = {names.plain(found.row.plugin) for found in rows}
    paper = printed(collected, "membership_auc", "Table 4")
    every = [
        Quantity(names.plugin(p), "AUC", collected.select(rows, plugin=p), paper if p == ATTACKS[0] else {}, share=False, guide=0.5)
        for p in (*(p for p in ATTACKS if p in there), *sorted(there - set(ATTACKS)))
    ]
    about = (
        "Is an input one of those that the model was trained on? Area under the ROC curve, signed: the score is higher where membership is "
        "held more likely (of HopSkipJump: the farther the boundary), and 0.5 is a guess. The paper says that members lie nearer, which an "
        "AUC below 0.5 would be; later work finds them farther."
    )
    needed = "membership attacks: robnas attack RUN… --config membership/paper.yaml (or membership.yaml, which asks less)"
    found = forests.exhibit(
        collected, every, key="fig-10", label="Fig. 10", title="Membership inference", about=about, needed=needed, figure=False
    )
    if found.empty:
        return found
    drawn = next(d for d in (Drawn.of(collected, quantity) for quantity in every) if any(d.worth.values()))
    caption, other = found.caption, drawn.quantity.name != names.plugin(ATTACKS[0])
    if other:
        caption = wording.sentences(caption, f"Drawn is {drawn.quantity.name}: the paper's attack, HopSkipJump distance, was not run.")
    return Exhibit(found.key, found.label, found.title, caption, draw(drawn), found.table, found.missing)


def draw(drawn: Drawn) -> Any:
    """A line of two panels a setting: curves, and areas."""
    settings = sorted((s for s in drawn.worth if drawn.worth[s]), key=by_setting)
    models = sorted({one for s in settings for one in drawn.worth[s]}, key=lambda one: one.order)
    height = len(settings) * max(3.2, style.forest_height(len(models), len({one.family for one in models}))) + 0.4
    figure, axes = style.grid(len(settings), 2, height, 9.0, width_ratios=[1, 1.25])
    for (left, right), setting in zip(axes, settings, strict=True):
        _curves(left, drawn.chosen[setting].rows)
        style.title(left, f"{names.data(setting[0])}, {setting[1]}: {drawn.quantity.name}")
        right.axvline(0.5, color=style.FAINT, linewidth=0.8, linestyle=":")
        style.forest(right, drawn.marks(setting, models), "AUC")
    marks = [mark for s in settings for mark in drawn.marks(s, models)]
    pale = any(mark.published is not None for mark in marks)
    style.key(figure, [one.family for one in models], seeds=any(len(mark.seeds) > 1 for mark in marks), published=pale)
    return figure


def _curves(axes: Any, rows: Sequence[Found]) -> None:
    axes.plot([0, 1], [0, 1], ":", color=style.FAINT, linewidth=0.8)
    of: dict[Who, list[NDArray[np.float64]]] = {}
    for found in rows:
        if (curve := roc_of(found)) is not None:
            of.setdefault(who(found), []).append(curve)
    few = len(of) <= style.FEW
    for one in sorted(of, key=lambda one: one.order):
        colour = style.look(one.family).colour
        axes.plot(GRID, np.mean(of[one], axis=0), color=colour, linewidth=1.4 if few else 0.8, alpha=1.0 if few else 0.5)
    if not of:
        axes.text(0.5, 0.45, "no outcomes of inputs are there", ha="center", fontsize=style.SMALL, color=style.FAINT)
    axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
    axes.set_xlabel("false positive rate", fontsize=style.SMALL, color=style.INK)
    axes.set_ylabel("true positive rate", fontsize=style.SMALL, color=style.INK)


def roc_of(found: Found) -> NDArray[np.float64] | None:
    """True positive rates at `GRID`, straight between the observed thresholds; None where the outcomes are not there."""
    try:
        outcomes = found.outcomes()
        counted = outcomes["eligible"] & ~outcomes["errored"]
        member, score = outcomes["member"][counted], outcomes["score"][counted].astype(np.float64)
    except (UserError, KeyError, OSError, ValueError):
        return None
    x, y = score[member], score[~member]
    return curve(x, y) if len(x) and len(y) else None


def curve(members: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
    """[m] and [n] scores, higher: more likely a member → true positive rates at `GRID`. Equal scores count together."""
    thresholds = np.unique(np.concatenate([members, others]))[::-1]
    tpr = np.append(0.0, (len(members) - np.searchsorted(np.sort(members), thresholds, "left")) / len(members))
    fpr = np.append(0.0, (len(others) - np.searchsorted(np.sort(others), thresholds, "left")) / len(others))
    i = np.searchsorted(fpr, GRID, "right") - 1  # the last, and so the highest, point at no more than this rate
    j = np.minimum(i + 1, len(fpr) - 1)
    way = np.divide(GRID - fpr[i], fpr[j] - fpr[i], out=np.zeros(len(GRID)), where=j > i)
    return np.asarray(tpr[i] + way * (tpr[j] - tpr[i]))
