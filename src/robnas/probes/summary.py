"""What probes found, as one table on the terminal. Torch-free."""

from __future__ import annotations

from collections.abc import Iterable

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from robnas.results import Row

COLUMNS = ("model", "probe", "at", "measured", "value", "95% interval", "n", "s")


def lines(found: Iterable[tuple[str, Row]]) -> list[list[str]]:
    """A line for each number, with the cells of COLUMNS. found: names of blocks and their rows; those of single epochs are left out."""
    return [_line(name, row) for name, row in found if not str(row.params.get("at", "")).startswith("epoch_")]


def _line(name: str, row: Row) -> list[str]:
    value = "none" if row.value is None else f"{row.value:.4g}"
    interval = "" if row.ci is None else f"[{row.ci[0]:.4g}, {row.ci[1]:.4g}]"
    at = str(row.params.get("at", "")).replace("_", " ")
    n, seconds = "" if row.n is None else f"{row.n}", "" if row.seconds is None else f"{row.seconds:.1f}"
    return [row.model or "", name, at, row.metric.replace("_", " "), value, interval or ", ".join(row.flags), n, seconds]


def table(found: Iterable[tuple[str, Row]]) -> Table:
    """For a terminal 100 wide; a column that says nothing, or of the model the same throughout, is left out."""
    body = lines(found)
    out = Table(title="Probes", title_justify="left", box=SIMPLE, pad_edge=False, padding=(0, 1, 0, 0))
    shown = [
        i for i, name in enumerate(COLUMNS) if len({line[i] for line in body}) > 1 or (name != "model" and any(line[i] for line in body))
    ]
    for i in shown:
        out.add_column(COLUMNS[i], justify="left" if i < 4 else "right", overflow="fold", no_wrap=COLUMNS[i] == "probe")  # as it is typed
    for line in body:
        out.add_row(*(line[i] for i in shown))
    return out


def show(found: Iterable[tuple[str, Row]], console: Console) -> None:
    """Print the table. Nothing where there are no rows."""
    found = list(found)
    if lines(found):
        console.print(table(found))
