"""Table 4: DARTS and its variants, what each attack still does to them, what their search cost; the trade-off of mitigations."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from robnas.report import names, style
from robnas.report.collected import Collected
from robnas.report.exhibit import Cell, Entry, Exhibit, Table
from robnas.report.found import Found
from robnas.report.paper import fig_06, fig_07, fig_10, fig_16, table_01, targeted, wording
from robnas.report.paper.cells_found import searches
from robnas.report.paper.forests import Drawn, Quantity, Setting
from robnas.report.paper.over_seeds import Who, Worth, over_seeds
from robnas.report.paper.variants import by_setting, printed
from robnas.report.searched import VARIANTS

KEY, LABEL, TITLE = "table-4", "Table 4", "Mitigations: DARTS, -i, -ii and -iii under each attack"
NEEDED = "DARTS and its variants, trained and attacked: robnas study mitigation.yaml"
BACKDOORS = ("trojannn", "badnets", "blended", "cleanlabel")
"""The paper's first."""
PAPERS = "cifar10"
"""Data set of the printed values."""
COLUMNS = 3
"""Panels beside each other."""


def exhibit(collected: Collected) -> Exhibit:
    """A row a variant and setting, a column an attack, then the cost of the search; the printed values below."""
    drawn = {quantity.name: Drawn.of(collected, quantity) for quantity in quantities(collected)}
    cost = of_searches(collected)
    models = sorted({one for d in drawn.values() for worth in d.worth.values() for one in worth}, key=lambda one: one.order)
    if not models and not cost:
        return Exhibit(KEY, LABEL, TITLE, ABOUT, None, _table(drawn, [], [], {}), NEEDED)
    settings = sorted({setting for d in drawn.values() for setting, worth in d.worth.items() if worth}, key=by_setting)
    rows = [found for d in drawn.values() for found in d.rows]
    how = dict.fromkeys(f"{name}: {words}" for name, d in drawn.items() if (words := wording.settings(d.chosen)))
    caption = wording.sentences(
        ABOUT, wording.counted(rows) if rows else "", *how, wording.INTERVALS, wording.reduced(rows), wording.doubts(rows)
    )
    figure = _figure(drawn, settings, models) if models else None
    return Exhibit(KEY, LABEL, TITLE, caption, figure, _table(drawn, settings, models, cost), _missing(drawn, models, cost))


def quantities(collected: Collected) -> list[Quantity]:
    """Columns of the table in its order: accuracy, the paper's, then poisoning and stealing (Figs 17, 16)."""
    every = [_accuracy(collected), *_evasions(collected), *_backdoors(collected), _membership(collected), *_trained(collected)]
    return [replace(quantity, rows=[found for found in quantity.rows if found.model in VARIANTS]) for quantity in every]


def _accuracy(collected: Collected) -> Quantity:
    rows = [found for found in collected.select(metric="accuracy", kind="train", plugin="accuracy") if not table_01.twin(found.run)]
    return Quantity("accuracy", "accuracy", rows, near=table_01.members)


def _evasions(collected: Collected) -> list[Quantity]:
    rows = collected.select(plugin="pgd", metric="asr", norm="linf", kind="attack")
    return [
        Quantity(
            f"PGD ASR ({goal[0].upper()})",
            "ASR",
            targeted.of_goal(rows, goal),
            printed(collected, metric, LABEL),
            near=targeted.from_eps,
        )
        for goal, (_, metric) in targeted.GOALS.items()
    ]


def _backdoors(collected: Collected) -> list[Quantity]:
    """Of the paper's backdoor, or of the first that the study has."""
    plugin = next((p for p in BACKDOORS if collected.select(plugin=p, metric="asr")), BACKDOORS[0])
    paper = {m: printed(collected, f"backdoor_{m}", LABEL) if plugin == BACKDOORS[0] else {} for m in ("asr", "cad")}
    name, (asr, cad) = names.plugin(plugin), (collected.select(plugin=plugin, metric=metric) for metric in paper)
    return [
        Quantity(f"{name} ASR", "ASR", asr, paper["asr"], near=fig_07.from_paper),
        Quantity(f"{name} CAD", "CAD", cad, paper["cad"], near=fig_07.from_paper, guide=0.0),
    ]


def _membership(collected: Collected) -> Quantity:
    """By the paper's attack, or the first that the study has."""
    rows = collected.select(metric="auc", kind="attack")
    plugin = next((p for p in fig_10.ATTACKS if collected.select(rows, plugin=p)), fig_10.ATTACKS[0])
    paper = printed(collected, "membership_auc", LABEL) if plugin == fig_10.ATTACKS[0] else {}
    return Quantity(
        f"membership AUC ({names.plugin(plugin)})",
        "AUC",
        collected.select(rows, plugin=plugin),
        paper,
        share=False,
        guide=0.5,
    )


def _trained(collected: Collected) -> list[Quantity]:
    """At the highest rate, and with most queries."""
    flips = collected.select(plugin="labelflip", metric="cad")
    return [
        Quantity("poisoning CAD", "CAD", flips, near=lambda found: -fig_06.at(found), guide=0.0),
        Quantity("stealing ACE", "ACE", fig_16.by_replica(collected)[1], near=lambda found: -fig_16.at(found), share=False),
    ]


def of_searches(collected: Collected) -> dict[Who, Worth]:
    """Seconds of a search, by variant; of several n_step, γ or sizes those with most seeds."""
    variant = {search.place: search.variant for search in searches(collected)}
    groups: dict[tuple[str, str], list[Found]] = {}
    for found in collected.select(kind="search", metric="seconds"):
        if (name := variant.get(found.place, "")) in VARIANTS:
            told = json.dumps([found.params, found.reduced, found.dataset], sort_keys=True, default=str)
            groups.setdefault((name, told), []).append(found)
    best: dict[str, list[Found]] = {}
    for (name, _), rows in sorted(groups.items(), key=lambda group: -len(group[1])):
        best.setdefault(name, rows)
    return {Who(name, "nas", True): worth for name in VARIANTS if name in best for worth in over_seeds(best[name]).values()}


# What is shown


def _figure(drawn: Mapping[str, Drawn], settings: Sequence[Setting], models: Sequence[Who]) -> Any:
    """A panel a column and setting, a row a variant."""
    panels = [(d, setting) for setting in settings for d in drawn.values() if d.worth.get(setting)]
    columns = min(COLUMNS, len(panels))
    lines = -(-len(panels) // columns)
    height = style.forest_height(len(models), 1)
    figure, axes = style.grid(lines, columns, lines * height + 0.3, min(style.WIDTH, 1.5 + 3.2 * columns))
    for i, (at, (d, setting)) in enumerate(zip(axes.flat, panels, strict=False)):
        if d.quantity.guide is not None:
            at.axvline(d.quantity.guide, color=style.FAINT, linewidth=0.8, linestyle=":")
        style.forest(at, d.marks(setting, models), d.quantity.axis, named=i % columns == 0, middle=None)
        if d.quantity.share:
            style.percent_axis(at)
        style.title(at, d.quantity.name if len(settings) == 1 else f"{names.data(setting[0])}, {setting[1]}: {d.quantity.name}")
    for empty in axes.flat[len(panels) :]:
        empty.set_axis_off()
    marks = [mark for d, setting in panels for mark in d.marks(setting, models)]
    pale = any(mark.published is not None for mark in marks)
    style.key(figure, [one.family for one in models], seeds=any(len(mark.seeds) > 1 for mark in marks), published=pale)
    return figure


def _table(drawn: Mapping[str, Drawn], settings: Sequence[Setting], models: Sequence[Who], cost: Mapping[Who, Worth]) -> Table:
    heads = [f"{name}{', %' if d.quantity.share else ''}" for name, d in drawn.items()]
    rows: list[tuple[Entry, ...]] = []
    blocks = []
    for together in _together(drawn, settings):
        said = " and ".join(dict.fromkeys(protocol for _, protocol in together))
        for one in models:
            if any(one in d.worth.get(setting, {}) for d in drawn.values() for setting in together):
                rows.append((one.title, *(_of(d, together, one) for d in drawn.values()), _seconds(cost.get(one))))
                blocks.append(f"{names.data(together[0][0])}, {said}")
    for one, worth in cost.items():
        if one not in models:
            rows.append((one.title, *[None] * len(drawn), _seconds(worth)))
            blocks.append("searched, and not trained")
    for name in VARIANTS:
        theirs = [d.quantity.paper.get(PAPERS, {}).get(names.model(name)) for d in drawn.values()]
        shown = [_printed(value, d.quantity.share) for value, d in zip(theirs, drawn.values(), strict=True)]
        rows.append((names.model(name), *shown, None))
        blocks.append(f"the paper, {names.data(PAPERS)}")
    return Table(
        ("model", *heads, "search, s"), tuple(rows), tuple(blocks), {"search, s": "wall clock of the search on the machine that it ran on"}
    )


def _together(drawn: Mapping[str, Drawn], settings: Sequence[Setting]) -> list[list[Setting]]:
    """Settings that share rows: of one data set, where no column has numbers of both: a training may be `sound`, its attacks `custom`."""
    out: list[list[Setting]] = []
    for setting in settings:
        mine = {name for name, d in drawn.items() if d.worth.get(setting)}
        for there in out:
            theirs = {name for name, d in drawn.items() for other in there if d.worth.get(other)}
            if there[0][0] == setting[0] and not mine & theirs:
                there.append(setting)
                break
        else:
            out.append([setting])
    return out


def _of(d: Drawn, together: Sequence[Setting], one: Who) -> Cell | None:
    """By the one setting of these that has it; where they are several, which is on hover."""
    for setting in together:
        if (cell := _cell(d, setting, one)) is not None:
            return cell if len(together) == 1 else cell._replace(note=", ".join(filter(None, (cell.note, f"{setting[1]} protocol"))))
    return None


def _cell(d: Drawn, setting: Setting, one: Who) -> Cell | None:
    worth = d.worth.get(setting, {}).get(one)
    return None if worth is None else worth.cell(100, 1) if d.quantity.share else worth.cell()


def _seconds(worth: Worth | None) -> Cell | None:
    return None if worth is None else worth.cell(1, 0)


def _printed(value: float | None, share: bool) -> Cell | None:
    return None if value is None else Cell(100 * value, text=f"{100 * value:.1f}") if share else Cell(value, text=f"{value:.3f}")


def _missing(drawn: Mapping[str, Drawn], models: Sequence[Who], cost: Mapping[Who, Worth]) -> str:
    none = [name for name, d in drawn.items() if not any(d.worth.values())]
    there = {one.model for one in models}
    gone = [names.model(name) for name in VARIANTS if name not in there]
    said = [f"any number of {', '.join(none)}"] * bool(none) + [f"rows of {', '.join(gone)}"] * bool(gone)
    said += ["searches, for their cost"] * (not cost)
    return f"{'; '.join(said)}: robnas study mitigation.yaml" if said else ""


ABOUT = (
    "DARTS; -i: deeper (n_step > 1); -ii: fewer skip connects (γ < 1); -iii: both. Cells are the authors' edits by hand, or “searched” "
    "where "
    "this study searched them. M and L: towards the second most and the least likely class. The paper's numbers stand below; it has no "
    "intervals and one training each, so a difference of a few points need not be one."
)
