"""What each model is worth by one measure: a mean over training seeds, with its interval. Seeds are nested in models, no sample at all."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import NamedTuple

import numpy as np

from robnas.report import names
from robnas.report.exhibit import Cell
from robnas.report.found import Found
from robnas.report.intervals import BOUNDS, of_seeds, within
from robnas.report.style import Mark


class Who(NamedTuple):
    """An architecture. searched: whether the cell was found in this study; a published cell of the same name is another one."""

    model: str
    family: str
    searched: bool = False

    @property
    def title(self) -> str:
        """In print."""
        return names.model(self.model) + (", searched" if self.searched else "")

    @property
    def order(self) -> tuple[int, int, str, bool]:
        """To sort by: families as blocks, the paper's order within."""
        return (*names.order(self.model, self.family), self.searched)

    @property
    def known(self) -> bool:
        """Whether it has a name of the paper's, and so a place of its own in crowded figures."""
        return names.known(self.model) is not None


class Worth(NamedTuple):
    """value: mean over seeds; NaN where there is none. low, high: Student's 95% interval over seeds, no narrower than theirs over inputs;
    of one seed its own, over inputs.

    each: a value a seed. n: inputs of a seed. reduced: why it is not at the paper's size, "" where it is. flags: of its rows.
    places: of the run folders that it is from.
    """

    value: float
    low: float | None
    high: float | None
    each: tuple[float, ...]
    n: int | None = None
    reduced: str = ""
    flags: tuple[str, ...] = ()
    places: tuple[str, ...] = ()

    @property
    def note(self) -> str:
        """ "n = 360, 3 seeds"."""
        seeds = f"{len(self.each)} seed{'s' * (len(self.each) != 1)}"
        return f"n = {self.n}, {seeds}" if self.n else seeds

    def mark(self, name: Who, published: float | None = None) -> Mark:
        """In a figure."""
        value = self.value if math.isfinite(self.value) else None
        return Mark(name.title, name.family, value, self.low, self.high, self.each, published)

    def cell(self, scale: float = 1.0, digits: int | None = None) -> Cell:
        """In a table, times `scale` (100 for percent)."""
        low, high = (None if end is None else scale * end for end in (self.low, self.high))
        text = "" if digits is None else f"{scale * self.value:.{digits}f}".replace("-", "−")
        flags = (*(("reduced",) if self.reduced else ()), *self.flags)
        return Cell(scale * self.value, low, high, text, flags=flags, note=self.note, runs=self.places)


def crowded(worth: Mapping[Who, Worth], lines: int = 40) -> list[Mark]:
    """A mark a model. Of more than `lines` models those without a name of the paper's share one mark a family: their geometric mean, their
    5% and 95% quantiles, and each of them as a seed is drawn.
    """
    if len(worth) <= lines:
        return [w.mark(name) for name, w in worth.items()]
    marks = []
    for family, look in names.FAMILIES.items():
        marks += [w.mark(name) for name, w in worth.items() if name.family == family and name.known]
        others = [w.value for name, w in worth.items() if name.family == family and not name.known and w.value > 0]
        if others:
            low, high = np.quantile(others, [0.05, 0.95])
            title = f"{len(others)} other {look.title}"
            marks.append(Mark(title, family, float(np.exp(np.mean(np.log(others)))), float(low), float(high), tuple(others)))
    return marks


def who(found: Found) -> Who:
    """Of a row."""
    row = found.row
    return _who(found.model, row.family, row.kind != "search" and row.search_seed is not None)


@cache
def _who(model: str, family: str, searched: bool) -> Who:
    return Who(model, family, searched)


def over_seeds(rows: Iterable[Found], *, logarithmic: bool = False) -> dict[Who, Worth]:
    """Architecture → its worth, in the report's order. Rows without a number or a model are passed over.

    Args:
        rows: of one measure; intervals end where its values must.
        logarithmic: geometric means, for what spans orders of magnitude; values that are not positive have no logarithm, and are left out.
    """
    of: dict[Who, dict[tuple[int | None, int | None], list[Found]]] = {}
    for found in rows:
        if found.model and math.isfinite(found.value) and (found.value > 0 or not logarithmic):
            of.setdefault(who(found), {}).setdefault((found.row.search_seed, found.row.train_seed), []).append(found)
    return {name: of_each(list(of[name].values()), logarithmic) for name in sorted(of, key=lambda name: name.order)}


def of_each(seeds: Sequence[Sequence[Found]], logarithmic: bool = False) -> Worth:
    """The worth of one model. seeds: of each its rows, all with numbers; several rows of a seed are averaged first."""
    into, back = (np.log, np.exp) if logarithmic else (np.asarray, np.asarray)
    alone = not logarithmic  # what is its own mean need not be asked of NumPy
    each = [own[0].value if alone and len(own) == 1 else float(back(np.mean(into([found.value for found in own])))) for own in seeds]
    every = [found for own in seeds for found in own]
    low: float | None
    high: float | None
    if len(each) > 1:
        low, high = (float(back(end)) for end in of_seeds(into(each).tolist(), [_ends(found, logarithmic) for found in every]))
    elif len(every) == 1:
        low, high = every[0].low, every[0].high
    else:  # several rows of one seed: no interval of theirs is that of their mean
        low = high = None
    low, high = within(low, high, BOUNDS.get(every[0].row.metric))
    flags = tuple(dict.fromkeys(flag for found in every for flag in found.row.flags))
    reduced = next((found.reduced for found in every if found.reduced), "")
    places = tuple(dict.fromkeys(found.place for found in every))
    return Worth(float(back(np.mean(into(each)))), low, high, tuple(each), every[0].row.n, reduced, flags, places)


def _ends(found: Found, logarithmic: bool) -> tuple[float | None, float | None]:
    if not logarithmic or found.low is None or found.high is None:
        return found.low, found.high
    return (math.log(found.low), math.log(found.high)) if found.low > 0 else (None, None)


def settings(rows: Iterable[Found]) -> list[tuple[str, str]]:
    """(data set, protocol) of rows; those with most models first, then by name."""
    models: dict[tuple[str, str], set[Who]] = {}
    for found in rows:
        models.setdefault((found.dataset, found.row.protocol), set()).add(who(found))
    return sorted(models, key=lambda setting: (-len(models[setting]), setting))


def of_setting(rows: Iterable[Found], setting: tuple[str, str]) -> list[Found]:
    """Those of a (data set, protocol)."""
    return [found for found in rows if (found.dataset, found.row.protocol) == setting]


def titled(setting: tuple[str, str]) -> str:
    """ "CIFAR-10, sound"."""
    return f"{names.data(setting[0])}, {setting[1]}"
