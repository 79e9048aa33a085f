"""What a report is made of: an exhibit is a table or a figure of the paper, or beyond it, from rows."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import Any, NamedTuple


class Cell(NamedTuple):
    """A number in a table.

    Args:
        value: in the unit that the column names; tables are sorted by it, CSV has it in full. None or
            NaN: there is none, and `text` says why.
        low, high: its interval, in the same unit; None: there is none, or it is infinite.
        text: as people read it, without the interval; "" → three digits.
        flags: what makes it doubtful, a few words each: "reduced", "1 seed", "ceiling", …
        link: of a page's other place, "#run-3fa9c1"; or of a file, relative to the folder of the report.
        note: on hover, after the interval: "n = 1000, 3 seeds".
        runs: the run folders that it is from, by place ("classify/3fa9c1"): the page leads to their configs and commands.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    text: str = ""
    flags: tuple[str, ...] = ()
    link: str = ""
    note: str = ""
    runs: tuple[str, ...] = ()

    @property
    def there(self) -> bool:
        """Whether there is a number."""
        return self.value is not None and not math.isnan(self.value)

    @property
    def shown(self) -> str:
        """What stands in the cell."""
        return self.text or (number(self.value) if self.value is not None and self.there else "none")

    @property
    def interval(self) -> str:
        """ "[0.91, 0.95]"; "" where there is none."""
        if self.low is None and self.high is None:
            return ""
        low, high = ("−∞" if self.low is None else number(self.low)), ("∞" if self.high is None else number(self.high))
        return f"[{low}, {high}]"


Entry = Cell | str | None
"""A cell of a table: a number with its interval, a text, or None: not there, drawn hatched and never as 0."""


@dataclass(frozen=True)
class Table:
    """columns: heads, with units ("accuracy, %"). rows: a tuple of entries each, as long as `columns`; the first entry names the row.

    blocks: where there are blocks, such as families: one name a row, equal ones next to each other. about: column → on hover.
    strips: whether a column's numbers are of one kind, so that their intervals can be drawn on one scale.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[Entry, ...], ...]
    blocks: tuple[str, ...] = ()
    about: dict[str, str] = field(default_factory=dict)
    strips: bool = True

    def __post_init__(self) -> None:
        wrong = [len(row) for row in self.rows if len(row) != len(self.columns)]
        if wrong or (self.blocks and len(self.blocks) != len(self.rows)):
            raise ValueError(f"table of {len(self.columns)} columns and {len(self.rows)} rows: rows of {wrong}, {len(self.blocks)} blocks")


@dataclass(frozen=True)
class Exhibit:
    """One table or figure.

    Args:
        key: of its files and of its place in the page: "fig-2", "table-4", "probe-attack".
        label: "Fig. 2", "Table 4"; "" beyond the paper.
        title: what it is about, in a few words.
        caption: what is shown, of what n, what an interval is of, departures from the paper. Plain text; it is escaped.
        figure: of matplotlib, made by `Figure()` and never by pyplot; None where there is none. The page makes an SVG of it.
        table: the same numbers, or more; None where there are none. The page makes CSV and TeX of it.
        folded: shown on the page once it is asked for: long, and not what is looked for first.
        missing: what would be needed for all of it, "" where complete: "rows of `knockoff`: robnas fit --config knockoff.yaml …".
    """

    key: str
    label: str
    title: str
    caption: str
    figure: Any = None
    table: Table | None = None
    missing: str = ""
    folded: bool = False

    @property
    def empty(self) -> bool:
        """Nothing to show yet."""
        return self.figure is None and (self.table is None or not self.table.rows)


def number(value: float) -> str:
    """Three digits: 0.0123, 0.93, 12.3, 1230, 1.23 M."""
    size = abs(value)
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "−∞" if value < 0 else "∞"
    if size >= 1e4 or 0 < size < 1e-3:
        power, letter = next(((p, text) for p, text in ((1e9, " G"), (1e6, " M"), (1e3, " k")) if size >= p), (1.0, ""))
        return (f"{value / power:.3g}{letter}" if letter and size < 1e12 else f"{value:.2e}").replace("-", "−")
    return f"{value:.{0 if size >= 100 else 1 if size >= 10 else 2 if size >= 0.1 or size == 0 else 3}f}".replace("-", "−")


def percent(value: float | None, low: float | None = None, high: float | None = None, **more: Any) -> Cell:
    """A proportion in [0, 1] as a cell in percent, a decimal; the interval likewise."""
    if value is None or math.isnan(value):
        return Cell(None, **more)
    text = f"{100 * value:.1f}".replace("-", "−")
    return Cell(100 * value, None if low is None else 100 * low, None if high is None else 100 * high, **{"text": text, **more})


def head_parts(column: str) -> tuple[str, str, str]:
    """ "PGD (most likely, ε = 8/255), ASR % ↑" → what, how it was set, in which unit; "" where a column does not say."""
    match = re.fullmatch(r"(.*?)(?: \((.*)\))?(?:, ([^,()]*))?", column, re.DOTALL)
    name, setting, unit = match.groups() if match else (column, "", "")
    return name or "", setting or "", unit or ""
