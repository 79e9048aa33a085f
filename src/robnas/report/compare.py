"""`robnas report A B`: two studies side by side, what changed and what only one of them has."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from robnas import atomic
from robnas._version import __version__
from robnas.errors import UserError, require
from robnas.report import files, names, provenance
from robnas.report.collected import Collected
from robnas.report.exhibit import Cell, Entry, Exhibit, Table, number
from robnas.report.matrix import matrices
from robnas.report.page import Page, Section, render, slug
from robnas.report.pictures import Pictures
from robnas.report.progress import silent
from robnas.report.sections import NOTES, Maker


def compare(first: Collected, second: Collected, out: str | Path | None = None) -> tuple[Path, list[Exhibit]]:
    """The page of both → where it is, and its exhibits. Raises UserError where `out` cannot be written."""
    a, b = _called(first, second)
    target = Path(out) if out is not None else second.root / f"against-{slug(a)}.html"
    require(not target.is_dir(), f"--out: {target} is a folder; give a file such as {target / 'compare.html'}")
    both = [(name, own, Maker(own, silent, Pictures(apart=False))) for name, own in ((a, first), (b, second))]
    old, new = (maker.several("matrix", lambda own=own: matrices(own)) for _, own, maker in both)  # type: ignore[misc]
    tables = [changes(x, y, a, b) for x, y in _pairs(old, new)]
    said = tuple(f"{name}: {text}" for name, _, maker in both for section in maker.finding() for text in section.lead)
    sections = [Section("finding", "The finding", lead=said)]
    try:
        written = tuple(
            (exhibit, files.write(exhibit, target.parent / f"{target.stem}-files", f"{target.stem}-files/")) for exhibit in tables
        )
        sections += [
            Section("changes", "What changed", CHANGES, written),
            Section(
                "only",
                "What only one has",
                notes=tuple(only(first, second, a, b)) or ("Nothing: both have the same models, attacks and settings.",),
            ),
            Section("made", "How they were made", MADE, ((made(first, second, a, b), files.Written()),)),
        ]
        if notes := [f"{name}: {text}" for name, own, _ in both for text in provenance.notes(own)]:
            sections.append(Section("notes", "What was passed over", NOTES, notes=tuple(notes)))
        page = Page(
            f"{a} and {b}",
            sections,
            _facts(first, second, a, b),
            banner=BANNER if first.all_reduced and second.all_reduced else "",
            foot=f"Made by robnas {__version__} on {datetime.now(UTC):%Y-%m-%d %H:%M UTC}.",
            daggers=not (first.all_reduced and second.all_reduced),
        )
        atomic.write(target, render(page))
    except OSError as error:
        raise UserError(f"cannot write {error.filename or target}: {error.strerror}") from None
    return target, tables


def changes(first: Exhibit | None, second: Exhibit | None, a: str, b: str) -> Exhibit:
    """One row for each model and column that both have: both, their difference, whether their intervals are apart: those first."""
    one = first or second or Exhibit("matrix", "", "", "Attacks")  # neither has any
    rows: list[tuple[Entry, ...]] = []
    old, new = (_cells(matrix) for matrix in (first, second))
    for place, (before, block) in old.items():
        after = new.get(place, (None, ""))[0]
        if before is None or after is None or not (before.there and after.there):
            continue
        rows.append((place[0], block, place[1], before, after, _difference(before, after), _verdict(before, after)))
    apart = sum(row[-1] == "apart" for row in rows)
    rows.sort(key=lambda row: (row[-1] != "apart", row[-1] == "equal"))
    caption = (
        f"{len(rows)} numbers that both have; of {apart} the 95% intervals do not overlap, which is stricter than a test at 5%. "
        "A difference has no interval of its own here: seeds and inputs may be shared, and then it would be narrower than theirs suggest."
    )
    missing = "" if rows else "a model and an attack, with equal settings, that both have"
    heads = ("model", "family", "attack", a if a != "model" else f"{a} ", b if a != b else f"{b}′", "difference", "intervals")
    return Exhibit(
        one.key.replace("matrix", "changes"), "", one.caption.partition(".")[0], caption, table=Table(heads, tuple(rows)), missing=missing
    )


def only(first: Collected, second: Collected, a: str, b: str) -> list[str]:
    """Models, attacks and probes, data sets and protocols that one of them has."""
    said = []
    for name, mine, other in ((a, first, second), (b, second, first)):
        for kind, found in _kinds(mine).items():
            if more := sorted(found - _kinds(other)[kind]):
                said.append(f"Only {name} has {kind} {', '.join(more[:20])}{f' and {len(more) - 20} more' if len(more) > 20 else ''}.")
    return said


def made(first: Collected, second: Collected, a: str, b: str) -> Exhibit:
    """Versions and commits, beside each other."""
    found = [_versions(collected) for collected in (first, second)]
    every = list(dict.fromkeys([*found[0], *found[1]]))
    rows = tuple(
        (name, found[0].get(name, "–"), found[1].get(name, "–"), "" if found[0].get(name) == found[1].get(name) else "differs")
        for name in every
    )
    return Exhibit(
        "made", "", "Made with", "Versions that rows note; of several the most frequent first.", table=Table(("what", a, b, ""), rows)
    )


def _pairs(first: Sequence[Exhibit], second: Sequence[Exhibit]) -> list[tuple[Exhibit | None, Exhibit | None]]:
    """Of one data set and protocol."""
    old, new = ({exhibit.key: exhibit for exhibit in matrices} for matrices in (first, second))
    return [(old[key], new[key]) for key in old if key in new] or [(next(iter([*old.values(), *new.values()]), None), None)]


def _cells(matrix: Exhibit | None) -> dict[tuple[str, str], tuple[Cell | None, str]]:
    if matrix is None or matrix.table is None:
        return {}
    table = matrix.table
    return {
        (str(row[0]), head): (entry if isinstance(entry, Cell) else None, block)
        for row, block in zip(table.rows, table.blocks, strict=True)
        for head, entry in zip(table.columns[1:], row[1:], strict=True)
        if head != "parameters"
    }


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


def _kinds(collected: Collected) -> dict[str, set[str]]:
    rows = collected.rows
    return {
        "models": {names.model(model) for model, _ in collected.models()},
        "data": {names.data(found.row.dataset) for found in rows if found.row.dataset},
        "attacks and probes": {names.plugin(found.row.plugin) for found in rows if found.row.kind in ("attack", "probe")},
        "protocols": {found.row.protocol for found in rows},
        "training seeds": {str(found.row.train_seed) for found in rows if found.row.train_seed is not None},
    }


def _versions(collected: Collected) -> dict[str, str]:
    counted: dict[str, Counter[str]] = {}
    for found in collected.rows:
        for name, version in {"code": found.row.commit or "unknown", **found.row.versions}.items():
            counted.setdefault(name, Counter())[str(version)] += 1
    return {name: ", ".join(version for version, _ in own.most_common(4)) for name, own in counted.items()}


def _called(first: Collected, second: Collected) -> tuple[str, str]:
    """Their names; where those are equal their folders, or which is which."""
    if first.name != second.name:
        return first.name, second.name
    folders = os.path.normpath(first.root), os.path.normpath(second.root)
    return folders if folders[0] != folders[1] else (f"{first.name}, first", f"{second.name}, second")


def _facts(first: Collected, second: Collected, a: str, b: str) -> list[tuple[str, str]]:
    return [(name, f"{len(own.rows):,} rows, {len(own.models())} models") for name, own in ((a, first), (b, second))]


CHANGES = "Numbers that both have, those first whose intervals do not overlap. A click on a head sorts by it."
BANNER = "Everything in both is reduced: it shows what changed here, not what the paper's models do at full size."
MADE = "A change of code or of versions is a reason for numbers to change."
