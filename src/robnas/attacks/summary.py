"""What attacks found, as one table: on the terminal and in the loggers. Torch-free."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from robnas.results import Row

COLUMNS = ("model", "attack", "goal", "ε", "n", "clean", "ASR", "robust", "queries", "seconds")


def log(loggers: Iterable[Any], name: str, rows: Sequence[Row]) -> None:
    """To every logger: the numbers as "NAME/METRIC"; where it takes tables (W&B), the rows as one."""
    numbers = {f"{name}/{row.metric}": row.value for row in rows if row.value is not None}
    for logger in loggers:
        logger.log_metrics(numbers)
        if hasattr(logger, "log_table"):
            logger.log_table(key=f"attacks/{name}", columns=list(COLUMNS), data=lines(rows))


def lines(rows: Iterable[Row]) -> list[list[str]]:
    """One line for each attack on each model, with the cells of COLUMNS."""
    groups: dict[str, dict[str, Row]] = {}
    for row in rows:
        if row.kind == "attack":
            groups.setdefault(json.dumps([row.job, row.model, row.plugin, row.params], sort_keys=True, default=str), {})[row.metric] = row
    return [_line(group) for group in groups.values()]


def _line(group: dict[str, Row]) -> list[str]:
    row = next(iter(group.values()))
    eps = row.params.get("eps")
    n = f"{row.eligible}" + (f" ({row.errored} errored)" if row.errored else "")
    shares = [_share(group.get(m)) for m in ("clean_accuracy", "asr", "robust_accuracy")]
    shares[0] = shares[0].split(" ")[0]
    goal = str(row.params.get("goal", "")).replace("_", " ")
    return [
        row.model or "",
        row.plugin,
        goal,
        "" if eps is None else f"{eps * 255:.3g}/255",
        n,
        *shares,
        f"{row.queries:,}",
        f"{row.seconds:.1f}",
    ]


def _share(row: Row | None) -> str:
    if row is None:
        return ""
    if row.value is None or row.ci is None:
        return "none"
    return f"{row.value:.1%} [{100 * row.ci[0]:.1f}, {100 * row.ci[1]:.1f}]"


def table(rows: Iterable[Row]) -> Table:
    """For a terminal 100 wide. The model's column is there only where there are several; intervals hold with 95% confidence (Wilson)."""
    body = lines(rows)
    first = 0 if len({line[0] for line in body}) > 1 else 1
    out = Table(title="Attacks (n: inputs attacked; [95% interval])", title_justify="left", pad_edge=False)
    for name in COLUMNS[first:]:
        out.add_column(name, justify="left" if name in COLUMNS[:3] else "right", no_wrap=name not in ("model", "attack", "goal"))
    for line in body:
        out.add_row(*line[first:])
    return out


def show(rows: Iterable[Row], console: Console | None = None) -> None:
    """Print the table. Nothing where there are no rows."""
    rows = list(rows)
    if rows:
        (console or Console()).print(table(rows))
