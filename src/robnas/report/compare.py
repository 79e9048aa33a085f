"""`robnas report A B`: two studies side by side, what changed and what only one of them has."""

from __future__ import annotations

import os
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

from robnas import atomic
from robnas._version import __version__
from robnas.errors import UserError, require
from robnas.report import files, provenance
from robnas.report.changed import changes
from robnas.report.collected import Collected
from robnas.report.exhibit import Exhibit, Table
from robnas.report.only import only
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
    tables = both[1][-1].several("changes", lambda: changes(first, second, a, b))
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
