"""Figures with a line a model: a number over ε, a share, a budget; a row a model where there is but one value of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from robnas.report import curves, names, style
from robnas.report.collected import Collected
from robnas.report.exhibit import Entry, Exhibit, Table
from robnas.report.found import Found
from robnas.report.paper import forests, wording
from robnas.report.paper.forests import Quantity, Setting
from robnas.report.paper.over_seeds import Who, Worth, over_seeds, who
from robnas.report.paper.variants import Variant, by_setting, nearest, undefended, variants


@dataclass(frozen=True)
class Abscissa:
    """What numbers are over.

    Args:
        name: with its unit, "ε, 1/255".
        of: of a row; NaN where it has none, and is then left out.
        argument: the arguments that it is, which differ along a line.
        shown: how a value is written, in ticks and in heads of columns.
        logarithmic: or linear.
    """

    name: str
    of: Callable[[Found], float]
    arguments: tuple[str, ...]
    shown: Callable[[float], str] = "{:g}".format
    logarithmic: bool = True


@dataclass
class Sweep:
    """A quantity over an abscissa: by setting the variant, and what each model is worth at each value."""

    quantity: Quantity
    over: Abscissa
    chosen: dict[Setting, Variant]
    worth: dict[Setting, dict[Who, dict[float, Worth]]] = field(default_factory=dict)

    @classmethod
    def of(cls, collected: Collected, quantity: Quantity, over: Abscissa) -> Sweep:
        """Of the variant with most models on most values; the others are left out."""
        rows = [found for found in quantity.rows if undefended(found) and math.isfinite(over.of(found))]
        found = variants(collected, rows, over.arguments)
        points = {id(variant): len({over.of(row) for row in variant.rows}) for variant in found}
        found.sort(key=lambda variant: -points[id(variant)])
        longest = {s: max(points[id(v)] for v in found if (v.dataset, v.protocol) == s) for s in {(v.dataset, v.protocol) for v in found}}
        found = [v for v in found if 2 * points[id(v)] > longest[v.dataset, v.protocol]]  # a single ε of another experiment is no curve
        sweep = cls(quantity, over, nearest(found, quantity.near))
        for setting, variant in sweep.chosen.items():
            at: dict[float, list[Found]] = {}
            for row in variant.rows:
                at.setdefault(over.of(row), []).append(row)
            own = sweep.worth.setdefault(setting, {})
            for x in sorted(at):
                for one, worth in over_seeds(at[x]).items():
                    own.setdefault(one, {})[x] = worth
        return sweep

    @property
    def rows(self) -> list[Found]:
        """That are shown."""
        return [found for variant in self.chosen.values() for found in variant.rows]

    def x(self, setting: Setting | None = None) -> list[float]:
        """All values, of a setting or of all."""
        chosen = self.worth if setting is None else {setting: self.worth.get(setting, {})}
        return sorted({x for models in chosen.values() for own in models.values() for x in own})

    def line(self, setting: Setting, one: Who) -> curves.Line:
        """Of a model."""
        own = self.worth[setting][one]
        marks = tuple(style.Mark(one.title, one.family, w.value, w.low, w.high, w.each) for w in own.values())
        return curves.Line(one.title, one.family, tuple(own), marks)

    def runs(self, setting: Setting, one: Who, x: float) -> tuple[str, ...]:
        """Places of the run folders of a number."""
        return tuple(self._places[setting].get((one, x), ()))

    @cached_property
    def _places(self) -> dict[Setting, dict[tuple[Who, float], dict[str, None]]]:
        out: dict[Setting, dict[tuple[Who, float], dict[str, None]]] = {}
        for setting, variant in self.chosen.items():
            own = out.setdefault(setting, {})
            for found in variant.rows:
                own.setdefault((who(found), self.over.of(found)), {})[found.place] = None
        return out


def exhibit(
    collected: Collected, quantities: Sequence[Quantity], over: Abscissa, *, key: str, label: str, title: str, about: str, needed: str
) -> Exhibit:
    """A figure with panels, and its table. about: the first sentences of the caption. needed: what would fill it where nothing is there."""
    sweeps = [s for s in (Sweep.of(collected, quantity, over) for quantity in quantities) if s.worth]
    if not sweeps:
        return Exhibit(key, label, title, about, missing=needed)
    if all(len(s.x()) < 2 for s in sweeps):
        only = ", ".join(dict.fromkeys(over.shown(x) for s in sweeps for x in s.x()))
        one = f"{about} Only one value of it was run ({over.name}: {only}), so there is a row a model in place of a line."
        return forests.exhibit(collected, quantities, key=key, label=label, title=title, about=one, needed=needed)
    settings = sorted({setting for s in sweeps for setting in s.worth}, key=by_setting)
    models = sorted({one for s in sweeps for own in s.worth.values() for one in own}, key=lambda one: one.order)
    rows = [found for s in sweeps for found in s.rows]
    few = len(models) <= style.FEW
    caption = wording.sentences(
        about,
        wording.counted(rows),
        *dict.fromkeys(wording.settings(s.chosen, without=over.arguments) for s in sweeps),
        wording.INTERVALS if few else "Thin: a model; thick: mean of a family. Intervals are in the table. " + wording.INTERVALS,
        wording.beside([s[0] for s in settings], [], False),
        wording.reduced(rows),
        wording.doubts(rows),
    )
    return Exhibit(key, label, title, caption, draw(sweeps, settings, models), table(sweeps, settings), _missing(sweeps, settings, models))


def draw(sweeps: Sequence[Sweep], settings: Sequence[Setting], models: Sequence[Who]) -> Any:
    """A panel a setting and quantity."""
    panels = [(s, setting) for setting in settings for s in sweeps if s.worth.get(setting)]
    columns = len(sweeps) if len(sweeps) > 1 else min(len(panels), 2)
    lines = -(-len(panels) // columns)
    figure, axes = style.grid(
        lines, columns, 0.4 + lines * (3.6 if len(models) > style.FEW else 2.8), min(style.WIDTH, 0.6 + 4.4 * columns)
    )
    for at, (s, setting) in zip(axes.flat, panels, strict=False):
        _panel(at, s, setting)
    for empty in axes.flat[len(panels) :]:
        empty.set_axis_off()
    style.key(figure, [one.family for one in models])
    return figure


def _panel(axes: Any, s: Sweep, setting: Setting) -> None:
    name = f": {s.quantity.name}" if s.quantity.name != s.quantity.axis else ""
    style.title(axes, f"{names.data(setting[0])}, {setting[1]}{name}")
    x = s.x(setting)
    if s.over.logarithmic:
        style.log_ticks(axes, x, {value: s.over.shown(value) for value in x})
    else:
        axes.set_xticks(x, [s.over.shown(value) for value in x])
    if s.quantity.limits:
        axes.set_ylim(*s.quantity.limits)
    lines = [s.line(setting, one) for one in s.worth[setting]]
    curves.draw(axes, lines, s.over.name, s.quantity.axis, "{:.1%}".format if s.quantity.share else "{:.3f}".format, s.over.shown)
    if s.quantity.guide is not None:
        axes.axhline(s.quantity.guide, color=style.FAINT, linewidth=0.8, linestyle=":")
    if s.quantity.share:
        style.percent_axis(axes, "y")


def table(sweeps: Sequence[Sweep], settings: Sequence[Setting]) -> Table:
    """A row for each model of each setting, a column a value of each quantity."""
    columns, rows, blocks = ["model"], [], []
    for s in sweeps:
        unit = ", %" if s.quantity.share else ""
        name = s.quantity.axis if s.quantity.name == s.quantity.axis else f"{s.quantity.name}, {s.quantity.axis}"
        columns += [f"{name}{unit} at {s.over.shown(x)}" for x in s.x()]
    for setting in settings:
        there = {one for s in sweeps for one in s.worth.get(setting, {})}
        for one in sorted(there, key=lambda one: one.order):
            cells: list[Entry] = [one.title]
            for s in sweeps:
                own = s.worth.get(setting, {}).get(one, {})
                scale, digits = (100, 1) if s.quantity.share else (1, None)
                cells += [own[x].cell(scale, digits)._replace(runs=s.runs(setting, one, x)) if x in own else None for x in s.x()]
            rows.append(tuple(cells))
            blocks.append(f"{names.data(setting[0])}, {setting[1]}: {names.FAMILIES[one.family].title}")
    return Table(tuple(columns), tuple(rows), tuple(blocks), dict.fromkeys(columns[1:], sweeps[0].over.name))


def _missing(sweeps: Sequence[Sweep], settings: Sequence[Setting], models: Sequence[Who]) -> str:
    lost = []
    for s in sweeps:
        for setting in settings:
            own, x = s.worth.get(setting, {}), s.x(setting)
            gone = [one.title for one in models if len(own.get(one, {})) < len(x)]
            if gone or not x:
                whose = "every model" if len(gone) == len(models) or not x else wording.some(gone).replace(";", ",")
                lost.append(f"{names.data(setting[0])}, {setting[1]}, {s.quantity.name}: {whose}")
    return f"some or all numbers of {wording.some(lost)}" if lost else ""
