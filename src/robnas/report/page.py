"""One page of HTML from sections: self-contained, opens offline, and says nothing that its sections do not."""

from __future__ import annotations

import base64
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, NamedTuple

import jinja2

from robnas.report import names, svg
from robnas.report.exhibit import Cell, Entry, Exhibit, Table, head_parts
from robnas.report.files import Written

LONG = 12
"""Rows of a table from which on it can be searched."""
MANY = 12
"""Columns beyond which a table is printed across the page, and smaller the more there are."""
WIDE = 8
"""Columns beyond which a table takes the room beside the page, too."""
TALL = 28
"""Rows beyond which a table scrolls below its head."""
WORDS = 40
"""Letters beyond which the names of rows are sentences."""


FULL = 10.5
"""Inches of a figure that is as wide as the page; it is `style.WIDTH`, which is not read here as it needs matplotlib."""


@dataclass(frozen=True)
class Section:
    """One idea of the page.

    key: its place, "#key". title: in the table of contents too. about: what to look for, a sentence or two. exhibits: with the files that
    they are in. lead: in large letters. notes: short paragraphs below. runs: (place, facts to show) of run folders, folded.
    aside: (summary, lines) of what is not there, folded.
    """

    key: str
    title: str
    about: str = ""
    exhibits: tuple[tuple[Exhibit, Written], ...] = ()
    lead: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    runs: tuple[dict[str, Any], ...] = ()
    aside: tuple[str, tuple[str, ...]] = ("", ())


@dataclass(frozen=True)
class Page:
    """title: of the study; facts: (name, value) in a line below it; banner: what must be known before all else, "" where nothing is.

    daggers: whether numbers at reduced size carry †; where all are, the banner says it.
    """

    title: str
    sections: Sequence[Section]
    facts: Sequence[tuple[str, str]] = ()
    banner: str = ""
    foot: str = ""
    daggers: bool = True


class Shown(NamedTuple):
    """A cell as the template wants it. kind: "number", "text" or "missing"; sort: what the column is ordered by; strip: low, value, high
    on the column's scale from 0 to 100.
    """

    kind: str
    text: str = ""
    interval: str = ""
    hover: str = ""
    sort: str = ""
    strip: tuple[float, float, float] | None = None
    reduced: bool = False
    doubtful: bool = False
    link: str = ""
    runs: str = ""
    tone: str = ""


_TONES = {"✓": "holds", "✗": "fails", "?": "none"}
"""First letter of a text → how it is coloured; the letter says it too."""


class Head(NamedTuple):
    """A column's head in up to three lines: "PGD", "most likely, ε = 8/255", "ASR % ↑"."""

    name: str
    setting: str
    unit: str
    hover: str
    numeric: bool


def render(page: Page) -> str:
    """The page as text."""
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_source),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["shown"] = shown
    environment.filters["image"] = image
    environment.filters["wide"] = wide
    environment.filters["slug"] = slug
    environment.globals.update(LONG=LONG, MANY=MANY, WIDE=WIDE)
    return environment.get_template("template.html").render(page=page, style=_source("page.css"), script=_source("page.js"))


def shown(table: Table) -> dict[str, Any]:
    """heads: [Head]; rows: [(block, [Shown])], as the template wants them."""
    columns = [[row[i] for row in table.rows] for i in range(len(table.columns))]
    numeric = [any(isinstance(entry, Cell) for entry in column) for column in columns]
    scales = [scale(column, name) if table.strips else None for column, name in zip(columns, table.columns, strict=True)]
    heads = [_head(name, table.about.get(name, ""), n) for name, n in zip(table.columns, numeric, strict=True)]
    rows = []
    for number, row in enumerate(table.rows):
        block = table.blocks[number] if table.blocks else ""
        rows.append((block, [entry_shown(entry, s) for entry, s in zip(row, scales, strict=True)]))
    words = max((len(row[0]) for row in table.rows if isinstance(row[0], str)), default=0) > WORDS
    return {
        "tall": len(rows) > TALL,
        "words": words,
        "heads": heads,
        "rows": rows,
        "blocks": list(dict.fromkeys(table.blocks)),
        "families": set(table.blocks) <= _FAMILIES,
        "strips": any(s is not None for s in scales),
    }


def scale(column: Sequence[Entry], name: str) -> tuple[float, float] | None:
    """What the strips of a column reach from and to; None where there are no intervals: a strip shows nothing else."""
    cells = [entry for entry in column if isinstance(entry, Cell) and entry.there]
    ends = [end for cell in cells for end in (cell.low, cell.high, cell.value) if end is not None]
    if not any(cell.low is not None and cell.high is not None for cell in cells):
        return None
    low, high = min(ends), max(ends)
    if "%" in name and low >= 0 and high <= 100:
        return 0.0, 100.0
    return (low, high) if high > low else None


def entry_shown(entry: Entry, column: tuple[float, float] | None) -> Shown:
    """A cell on its column's scale."""
    if entry is None:
        return Shown("missing", hover="not measured")
    if isinstance(entry, str):
        tone = _TONES.get(entry[:1], "")
        return Shown("text", entry, sort=entry, tone=f"{tone} long".strip() if len(entry) > WORDS else tone)
    strip = None
    if column is not None and entry.there and entry.low is not None and entry.high is not None:
        assert entry.value is not None
        low, value, high = (round(100 * (end - column[0]) / (column[1] - column[0]), 1) for end in (entry.low, entry.value, entry.high))
        strip = max(low, 0.0), min(max(value, 0.0), 100.0), min(high, 100.0)
    hover = ". ".join(filter(None, (f"95% interval {entry.interval}" if entry.interval else "", entry.note, *entry.flags)))
    return Shown(
        "number",
        entry.shown,
        entry.interval,
        hover,
        repr(entry.value) if entry.there and entry.value is not None and math.isfinite(entry.value) else "",
        strip,
        any(flag.startswith("reduced") for flag in entry.flags),
        any(not flag.startswith("reduced") for flag in entry.flags),
        entry.link if not entry.runs else f"#run-{slug(entry.runs[0])}",
        "\n".join(entry.runs),
    )


def image(text: str) -> str:
    """An SVG as the address of an image: nothing in it can reach the page, and no two clash."""
    return "data:image/svg+xml;base64," + base64.b64encode(text.encode()).decode()


def wide(text: str) -> str:
    """How wide an SVG is shown at most: letters of all figures are of one size, also of those with little in them."""
    points = svg.width(text)
    return "" if points is None else f"--inches: {points / 72:.1f}; max-width: {points / 72 / FULL * 100:.0f}%"


def slug(place: str) -> str:
    """A name for a place of the page."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", place)


_FAMILIES = {look.title for look in names.FAMILIES.values()}


def _head(name: str, hover: str, numeric: bool) -> Head:
    return Head(*head_parts(name), hover, numeric)


def _source(name: str) -> str:
    return (files("robnas.report") / name).read_text("utf-8")
