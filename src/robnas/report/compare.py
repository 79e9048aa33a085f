"""`robnas report A B`: two studies side by side, what changed and what only one of them has."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from robnas import atomic
from robnas._version import __version__
from robnas.errors import UserError, require
from robnas.report import files, provenance
from robnas.report.changed import changes
from robnas.report.collected import Collected
from robnas.report.exhibit import Exhibit
from robnas.report.made import made
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
    maker = both[1][-1]
    tables = maker.several("changes", lambda: changes(first, second, a, b))
    alone: list[str] = []

    def find() -> Exhibit:
        alone.extend(only(first, second, a, b))
        return Exhibit("only", "", "", "")

    failed = maker.one("only", find).missing
    how = maker.one("made", lambda: made(first, second, a, b))
    said = tuple(f"{name}: {text}" for name, _, maker in both for section in maker.finding() for text in section.lead)
    sections = [Section("finding", "The finding", lead=said)]
    try:
        written = tuple(
            (exhibit, files.write(exhibit, target.parent / f"{target.stem}-files", f"{target.stem}-files/")) for exhibit in tables
        )
        sections += [
            Section("changes", "What changed", CHANGES if tables else NOTHING, written),
            Section("only", "What only one has", notes=tuple(alone) or (failed or EQUAL,)),
            Section("made", "How they were made", MADE, ((how, files.Written()),)),
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


def _called(first: Collected, second: Collected) -> tuple[str, str]:
    """Their names; where those are equal the ends of their folders that differ, or which is which."""
    if first.name != second.name:
        return first.name, second.name
    one, other = (own.root.resolve().parts for own in (first, second))
    if one == other:
        return f"{first.name}, first", f"{second.name}, second"
    same = next((i for i, (x, y) in enumerate(zip(one, other, strict=False)) if x != y), min(len(one), len(other)) - 1)
    return str(Path(*one[same:])), str(Path(*other[same:]))


def _facts(first: Collected, second: Collected, a: str, b: str) -> list[tuple[str, str]]:
    return [(name, f"{len(own.rows):,} rows, {len(own.models())} models") for name, own in ((a, first), (b, second))]


CHANGES = (
    "Numbers of models × attacks, at every setting that both have; those first whose intervals do not overlap. What probes measured, "
    "transfer and the paper's figures stand in each study's own report."
)
NOTHING = "Nothing can be compared: there is no data set and protocol that both were attacked under."
EQUAL = "Nothing: both have the same models, and the same attacks of them with the same settings."
BANNER = "Everything in both is reduced: it shows what changed here, not what the paper's models do at full size."
MADE = "A change of code, of versions or of trainings is a reason for numbers to change."
