"""What changed between two studies: numbers that both have, beside each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from robnas.report import names
from robnas.report.collected import Collected
from robnas.report.columns import by_size, head
from robnas.report.exhibit import Cell, Entry, Exhibit, Table, number
from robnas.report.matched import matched
from robnas.report.matrix import CLEAN, Group, Pair, block, by_column, cell, clean, groups, order, title


def changes(first: Collected, second: Collected, a: str, b: str) -> list[Exhibit]:
    """Of each data set and protocol that both were attacked under: a row for each model and attack that both have."""
    mine, theirs = groups(first), groups(second)
    made = [
        _changes(f"{names.data(where[0])}, {where[1]} protocol", _key(where), _of(first, mine[where], second, theirs[where]), a, b)
        for where in mine
        if where in theirs
    ]
    return made or [Exhibit("changes", "", "Attacks", "", missing="a data set and a protocol that both were attacked under")]


class Both(NamedTuple):
    """A number that both studies have."""

    model: Pair
    attack: str
    before: Cell
    after: Cell


def _of(first: Collected, mine: Group, second: Collected, theirs: Group) -> list[Both]:
    """By model, as the matrix has them, and by attack: clean accuracy, then every setting that both have."""
    old, new = by_column(first, mine), by_column(second, theirs)
    pairs = matched(old, new)
    ordered = by_size(pairs)
    heads = dict(zip(ordered, head(ordered, {}), strict=True))
    before, after = clean(mine), clean(theirs)
    found = [(model, CLEAN, cell(before[model], "accuracy"), cell(after[model], "accuracy")) for model in before if model in after]
    for column in ordered:
        ours, others = old[column], new[pairs[column]]
        found += [(m, heads[column], cell(ours[m], column.metric), cell(others[m], column.metric)) for m in ours if m in others]
    there = [Both(m, attack, x, y) for m, attack, x, y in found if x is not None and y is not None and x.there and y.there]
    return sorted(there, key=lambda number: order(number.model))


def _changes(where: str, key: str, numbers: Sequence[Both], a: str, b: str) -> Exhibit:
    """One row for each: both, their difference, whether their intervals are apart: those first."""
    rows: list[tuple[Entry, ...]] = [
        (title(one.model[0]), block(one.model), one.attack, one.before, one.after, _difference(*one[2:]), _verdict(*one[2:]))
        for one in numbers
    ]
    apart = sum(row[-1] == "apart" for row in rows)
    rows.sort(key=lambda row: (row[-1] != "apart", row[-1] == "equal"))
    caption = (
        f"{len(rows)} numbers that both have; of {apart} the 95% intervals do not overlap, which is stricter than a test at 5%. "
        "A difference has no interval of its own here: seeds and inputs may be shared, and then it would be narrower than theirs suggest."
    )
    missing = "" if rows else "a model and an attack, with equal settings, that both have"
    heads = ("model", "family", "attack", a if a != "model" else f"{a} ", b if a != b else f"{b}′", "difference", "intervals")
    return Exhibit(key, "", where, caption, table=Table(heads, tuple(rows)), missing=missing)


def _key(where: tuple[str, str]) -> str:
    return f"changes-{where[0] or 'data'}-{where[1]}"


def _difference(before: Cell, after: Cell) -> Cell:
    assert before.value is not None
    assert after.value is not None
    value = after.value - before.value
    return Cell(
        value, text=f"{'+' if value > 0 else ''}{number(value)}", flags=(*before.flags, *(f for f in after.flags if f not in before.flags))
    )


def _verdict(before: Cell, after: Cell) -> str:
    """ "apart", "overlap", "equal", or "" where an interval is missing."""
    if before.value == after.value:
        return "equal"
    if None in (before.low, before.high, after.low, after.high):
        return ""
    return "apart" if before.high < after.low or after.high < before.low else "overlap"  # type: ignore[operator]
