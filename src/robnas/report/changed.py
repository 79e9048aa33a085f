"""What changed between two studies: numbers that both have, beside each other."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from robnas.report import names
from robnas.report.collected import Collected
from robnas.report.columns import by_size, head
from robnas.report.exhibit import Cell, Exhibit, Table, number
from robnas.report.found import Found
from robnas.report.matched import Attack, attacks, matched
from robnas.report.matrix import CLEAN, Group, Pair, block, cell, clean, groups, order, title

WORDS = {
    "apart": "with 95% intervals apart",
    "overlap": "that differ within them",
    "no interval": "that differ, one without an interval",
    "equal": "equal",
}
"""Verdict → of so many numbers; in the order of rows."""


def changes(first: Collected, second: Collected, a: str, b: str) -> list[Exhibit]:
    """Of each data set and protocol that both were attacked under: what differs, and what is equal, a row for each model and attack."""
    mine, theirs = groups(first), groups(second)
    made = []
    for where in [where for where in mine if where in theirs]:
        numbers = _both(first, mine[where], second, theirs[where], a, b)
        made += _exhibits(f"{names.data(where[0])}, {where[1]} protocol", f"{where[0] or 'data'}-{where[1]}", numbers, a, b)
    return made


class Both(NamedTuple):
    """A number that both studies have."""

    model: Pair
    family: str
    attack: str
    before: Cell
    after: Cell

    @property
    def verdict(self) -> str:
        """Of their intervals."""
        before, after = self.before, self.after
        assert before.value is not None
        assert after.value is not None
        if math.isclose(before.value, after.value, rel_tol=1e-9, abs_tol=1e-12):
            return "equal"
        if before.low is None or before.high is None or after.low is None or after.high is None:
            return "no interval"
        return "apart" if before.high < after.low or after.high < before.low else "overlap"

    @property
    def difference(self) -> Cell:
        """The second's less the first's."""
        value = (self.after.value or 0.0) - (self.before.value or 0.0) if self.verdict != "equal" else 0.0
        flags = tuple(dict.fromkeys((*self.before.flags, *self.after.flags)))
        return Cell(value, text=f"{'+' if value > 0 else ''}{number(value)}", flags=flags)


def _both(first: Collected, mine: Group, second: Collected, theirs: Group, a: str, b: str) -> list[Both]:
    """By model, as the matrix has them, and by attack: clean accuracy, then every attack that both have."""
    old, new = attacks(first, mine), attacks(second, theirs)
    pairs = matched(old, new)
    found = [*_beside(CLEAN, "accuracy", _clean(mine, old), _clean(theirs, new))]
    by_column = {attack.column: attack for attack in pairs}
    columns = by_size(by_column)
    for column, name in zip(columns, head(columns, {}), strict=True):
        attack = by_column[column]
        apart = attack.differences(pairs[attack], a, b)
        found += _beside("; ".join([name, *apart]), column.metric, old[attack], new[pairs[attack]])
    return sorted(found, key=lambda number: order(number.model))


def _beside(attack: str, metric: str, mine: Mapping[Pair, Sequence[Found]], theirs: Mapping[Pair, Sequence[Found]]) -> Iterable[Both]:
    """Of each model that both have, however each spells it and whatever family each counts it to."""
    others = {names.plain(pair[0]): pair for pair in theirs}
    for pair, rows in mine.items():
        if (other := others.get(names.plain(pair[0]))) is not None:
            before, after = cell(rows, metric), cell(theirs[other], metric)
            if before is not None and after is not None and before.there and after.there:
                family = block(pair) if pair[1] == other[1] else f"{block(pair)}, then {block(other)}"
                yield Both(pair, family, attack, before, after)


def _clean(group: Group, found: Mapping[Attack, Mapping[Pair, object]]) -> dict[Pair, list[Found]]:
    """Of models that were attacked, as the matrix has it; where it is of a training, as attacks' own is of fewer images."""
    there = {pair for by_model in found.values() for pair in by_model}
    return {pair: rows for pair, rows in clean(group).items() if pair in there and all(row.row.kind == "train" for row in rows)}


def _exhibits(where: str, key: str, numbers: Sequence[Both], a: str, b: str) -> list[Exhibit]:
    counts = Counter(one.verdict for one in numbers)
    said = ", ".join(f"{counts[verdict]} {words}" for verdict, words in WORDS.items() if counts[verdict])
    summary = f"{where}: {len(numbers)} numbers that both have, {said}"
    differ = sorted((one for one in numbers if one.verdict != "equal"), key=lambda one: list(WORDS).index(one.verdict))
    equal = [one for one in numbers if one.verdict == "equal"]
    if not numbers:
        return [Exhibit(f"changes-{key}", "", where, "", missing="a model and an attack, with equal settings, that both have")]
    made = [Exhibit(f"changes-{key}", "", summary, CAPTION, table=_table(differ, a, b))] if differ else []
    if equal:
        title = f"{where}: equal" if differ else summary
        made.append(Exhibit(f"equal-{key}", "", title, "", table=_table(equal, a, b), folded=True))
    return made


def _table(numbers: Sequence[Both], a: str, b: str) -> Table:
    heads = ["model", "family", "attack", "difference", "intervals"]
    for name in (a, b):
        heads.insert(len(heads) - 2, name if name not in heads else f"{name}′")
    rows = [(title(one.model[0]), one.family, one.attack, one.before, one.after, one.difference, one.verdict) for one in numbers]
    return Table(tuple(heads), tuple(rows), strips=False)


CAPTION = (
    "Intervals that do not overlap are stricter than a test at 5%. A difference has no interval of its own here: seeds and inputs may be "
    "shared, and then it would be narrower than theirs suggest."
)
