"""Figures with a row a model: one number, or a few, of each model on each data set by each protocol, ours beside the paper's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from robnas.report import names, style
from robnas.report.collected import Collected
from robnas.report.exhibit import Cell, Entry, Exhibit, Table
from robnas.report.found import Found
from robnas.report.paper import wording
from robnas.report.paper.over_seeds import Who, Worth, over_seeds, who
from robnas.report.paper.variants import Near, Variant, by_setting, nearest, undefended, variants

Setting = tuple[str, str]
"""Data set and protocol."""
WHOLE = (-0.03, 1.03)
"""Limits that show all proportions."""


@dataclass(frozen=True)
class Quantity:
    """One of the numbers that a figure shows of a model.

    Args:
        name: of its panels, "least likely class".
        axis: of its abscissa, and in tables, "ASR".
        rows: of any setting; the most complete variant of each is drawn.
        paper: what the paper prints of it: data set → model in print → value.
        near: which of several variants is the paper's.
        share: a proportion, in percent. limits: of the abscissa, as the data ask for if not given.
    guide: where a line is drawn, such as chance.
    """

    name: str
    axis: str
    rows: Sequence[Found]
    paper: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    near: Near = lambda found: 0.0
    share: bool = True
    limits: tuple[float, float] | None = None
    guide: float | None = None


@dataclass
class Drawn:
    """What was chosen of a quantity: by setting the variant, and what each model is worth."""

    quantity: Quantity
    chosen: dict[Setting, Variant]
    worth: dict[Setting, dict[Who, Worth]] = field(default_factory=dict)

    @classmethod
    def of(cls, collected: Collected, quantity: Quantity) -> Drawn:
        """Of all rows that are plain measurements."""
        chosen = nearest(variants(collected, filter(undefended, quantity.rows)), quantity.near)
        drawn = cls(quantity, chosen)
        for setting, variant in chosen.items():
            drawn.worth[setting] = over_seeds(variant.rows)
        return drawn

    @property
    def rows(self) -> list[Found]:
        """That are shown."""
        return [found for variant in self.chosen.values() for found in variant.rows]

    @cached_property
    def places(self) -> dict[Setting, dict[Who, tuple[str, ...]]]:
        """Setting → model → the run folders that its number is of."""
        out: dict[Setting, dict[Who, dict[str, None]]] = {}
        for setting, variant in self.chosen.items():
            own = out.setdefault(setting, {})
            for found in variant.rows:
                own.setdefault(who(found), {})[found.place] = None
        return {setting: {one: tuple(places) for one, places in own.items()} for setting, own in out.items()}

    def marks(self, setting: Setting, models: Sequence[Who]) -> list[style.Mark]:
        """Of all models, in order; one without a number is hatched."""
        return [self.mark(setting, one) for one in models]

    def mark(self, setting: Setting, one: Who) -> style.Mark:
        """Of a model."""
        paper = None if one.searched else self.quantity.paper.get(setting[0], {}).get(one.title)
        worth = self.worth.get(setting, {}).get(one)
        if worth is None:
            return style.Mark(one.title, one.family, published=paper)
        return style.Mark(one.title, one.family, worth.value, worth.low, worth.high, worth.each, paper)


def exhibit(
    collected: Collected, quantities: Sequence[Quantity], *, key: str, label: str, title: str, about: str, needed: str, figure: bool = True
) -> Exhibit:
    """A figure with panels, and its table.

    about: the first sentences of the caption. needed: what would fill it where there is nothing.
    """
    drawn = [d for d in (Drawn.of(collected, quantity) for quantity in quantities) if any(d.worth.values())]
    if not drawn:
        return Exhibit(key, label, title, about, missing=needed)
    settings = sorted({setting for d in drawn for setting in d.worth}, key=by_setting)
    models = sorted({one for d in drawn for worth in d.worth.values() for one in worth}, key=lambda one: one.order)
    rows = [found for d in drawn for found in d.rows]
    shown = any(d.mark(s, one).published is not None for d in drawn for s in settings for one in models)
    theirs = [dataset for d in drawn for dataset in d.quantity.paper]
    said = {d.quantity.name: wording.settings(d.chosen) for d in drawn}
    how = [f"{name}: {text}" for name, text in said.items() if text] if len(set(said.values())) > 1 else list(said.values())[:1]
    caption = wording.sentences(
        about,
        wording.counted(rows),
        *how,
        wording.INTERVALS,
        "Dashed: mean of a family. Hatched: not there.",
        wording.beside([s[0] for s in settings], theirs, shown),
        wording.reduced(rows),
        wording.doubts(rows),
    )
    picture = draw(drawn, settings, models) if figure else None
    return Exhibit(key, label, title, caption, picture, table(drawn, settings, models), _missing(drawn, settings, models))


def draw(drawn: Sequence[Drawn], settings: Sequence[Setting], models: Sequence[Who]) -> Any:
    """Columns are data sets where there are several, else quantities; rows the rest."""
    datasets, protocols = list(dict.fromkeys(d for d, _ in settings)), list(dict.fromkeys(p for _, p in settings))
    if len(datasets) > 1:
        panels = [[(d, (dataset, protocol)) for dataset in datasets] for protocol in protocols for d in drawn]
    else:
        panels = [[(d, (datasets[0], protocol)) for d in drawn] for protocol in protocols]
    families = [one.family for one in models]
    height = len(panels) * style.forest_height(len(models), len(set(families))) + 0.4
    columns = len(panels[0])
    figure, axes = style.grid(len(panels), columns, height, min(style.WIDTH, 1.4 + 3.5 * columns))
    limits = _limits([panel for line in panels for panel in line], models)
    for i, line in enumerate(panels):
        for j, (d, setting) in enumerate(line):
            _panel(axes[i, j], d, setting, models, limits[d.quantity.axis], named=j == 0)
    many = any(len(w.each) > 1 for d in drawn for worth in d.worth.values() for w in worth.values())
    pale = any(d.mark(s, one).published is not None for d in drawn for s in settings for one in models)
    style.key(figure, families, seeds=many, published=pale)
    return figure


def _limits(panels: Sequence[tuple[Drawn, Setting]], models: Sequence[Who]) -> dict[str, tuple[float, float] | None]:
    """Abscissa → limits that all panels of it share, so that they can be compared by eye."""
    ends: dict[str, list[float]] = {}
    given: dict[str, tuple[float, float] | None] = {}
    for d, setting in panels:
        marks = d.marks(setting, models)
        values = [v for mark in marks for v in (mark.value, mark.low, mark.high, mark.published, *mark.seeds) if v is not None]
        ends.setdefault(d.quantity.axis, []).extend([*values, *([d.quantity.guide] if d.quantity.guide is not None else [])])
        given[d.quantity.axis] = d.quantity.limits
    found = dict(given)
    for axis, values in ends.items():
        if given[axis] is None and values:
            room = 0.05 * (max(values) - min(values)) or 0.05
            found[axis] = min(values) - room, max(values) + room
    return found


def _panel(axes: Any, d: Drawn, setting: Setting, models: Sequence[Who], limits: tuple[float, float] | None, named: bool) -> None:
    dataset, protocol = setting
    style.title(axes, f"{names.data(dataset)}, {protocol}: {d.quantity.name}")
    if d.quantity.guide is not None:
        axes.axvline(d.quantity.guide, color=style.FAINT, linewidth=0.8, linestyle=":")
    style.forest(axes, d.marks(setting, models), d.quantity.axis, limits, named)
    style.few_ticks(axes)
    if d.quantity.share:
        style.percent_axis(axes)


def table(drawn: Sequence[Drawn], settings: Sequence[Setting], models: Sequence[Who]) -> Table:
    """A row for each model of each setting; published values in columns of their own where there are any."""
    pale = [any(d.mark(s, one).published is not None for s in settings for one in models) for d in drawn]
    columns = ["model"]
    for d, theirs in zip(drawn, pale, strict=True):
        q = d.quantity
        head = q.name if q.axis in q.name else f"{q.name}, {q.axis}"
        unit = ", %" if q.share else ""
        columns += [f"{head}{unit}", *([f"{head}, published{unit}"] if theirs else [])]
    rows: list[tuple[Entry, ...]] = []
    blocks = []
    for setting in settings:
        for one in models:
            if not any(one in d.worth.get(setting, {}) for d in drawn):
                continue
            cells: list[Entry] = [one.title]
            for d, theirs in zip(drawn, pale, strict=True):
                cells.append(cell(d, setting, one))
                cells += [_published(d, setting, one)] if theirs else []
            rows.append(tuple(cells))
            blocks.append(f"{names.data(setting[0])}, {setting[1]}: {names.FAMILIES[one.family].title}")
    return Table(tuple(columns), tuple(rows), tuple(blocks))


def cell(d: Drawn, setting: Setting, one: Who) -> Cell | None:
    """With the runs that it is of."""
    worth = d.worth.get(setting, {}).get(one)
    if worth is None:
        return None
    found = worth.cell(100 if d.quantity.share else 1, 1 if d.quantity.share else None)
    return found._replace(runs=d.places[setting].get(one, ()))


def _published(d: Drawn, setting: Setting, one: Who) -> Cell | None:
    value = d.mark(setting, one).published
    if value is None:
        return None
    return Cell(100 * value, text=f"{100 * value:.1f}") if d.quantity.share else Cell(value, text=f"{value:.3f}")


def _missing(drawn: Sequence[Drawn], settings: Sequence[Setting], models: Sequence[Who]) -> str:
    lost = []
    for d in drawn:
        for setting in settings:
            gone = [one.title for one in models if one not in d.worth.get(setting, {})]
            if gone:
                whose = "every model" if len(gone) == len(models) else wording.some(gone).replace(";", ",")
                lost.append(f"{names.data(setting[0])}, {setting[1]}, {d.quantity.name}: {whose}")
    return f"no number for {wording.some(lost)}" if lost else ""
