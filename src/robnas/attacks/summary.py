"""What attacks found, as one table: on the terminal and in the loggers. Torch-free."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from math import ceil, floor, isfinite
from pathlib import PurePath
from typing import Any

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from robnas.attacks import masking_words
from robnas.results import Row

COLUMNS = ("model", "attack", "goal", "ε", "n", "errored", "clean", "ASR", "robust", "queries", "s")


def log(loggers: Iterable[Any], name: str, rows: Sequence[Row]) -> None:
    """To every logger: the numbers as "NAME/METRIC"; where it takes tables (W&B), the rows as one."""
    from robnas.attacks.membership import summary as membership  # it stands on this file

    numbers = {f"{name}/{row.metric}": row.value for row in rows if row.value is not None}
    for logger in loggers:
        logger.log_metrics(numbers)
        if hasattr(logger, "log_table"):
            theirs = membership.lines(rows)
            columns = list(membership.COLUMNS if theirs else COLUMNS)
            logger.log_table(key=f"attacks/{name}", columns=columns, data=theirs or lines(rows))


def lines(rows: Iterable[Row]) -> list[list[str]]:
    """One line for each attack on each model, with the cells of COLUMNS."""
    groups: dict[str, dict[str, Row]] = {}
    for row in rows:
        if row.kind == "attack" and "target" not in row.params:  # transfer has a table of its own, see `across`
            same = [row.job, row.model, row.victim, row.dataset, row.attack_seed, _name(row), row.params]
            groups.setdefault(json.dumps(same, sort_keys=True, default=str), {})[row.metric] = row
    return [_line(group) for group in groups.values() if "auc" not in group]  # nor membership, see `membership.summary`


def _line(group: dict[str, Row]) -> list[str]:
    row = next(iter(group.values()))
    eps, goal = row.params.get("eps"), str(row.params.get("goal", "")).replace("_", " ")
    ball = f"{eps * 255:.3g}/255" if isinstance(eps, int | float) and isfinite(eps) else str(eps or "")
    clean, *others = (_share(group.get(metric)) for metric in ("clean_accuracy", "asr", "robust_accuracy"))
    count = str(row.errored) if row.errored else ""
    return [
        row.model or "",
        _name(row),
        goal,
        ball,
        f"{row.eligible}",
        count,
        clean.split(" ")[0],
        *others,
        _short(row.queries),
        _short(row.seconds),
    ]


def _name(row: Row) -> str:
    """Of the block that asked for the attack ("pgd_most"), which the file of outcomes is called by; else the plug-in's."""
    return PurePath(row.outcomes).stem.rpartition("-")[0] if row.outcomes else row.plugin


def _share(row: Row | None) -> str:
    if row is None:
        return ""
    if row.value is None or row.ci is None:
        return "none"
    low, high = row.ci  # rounded outwards, so that the interval holds
    return f"{100 * row.value:.1f} [{floor(100 * low)}, {ceil(100 * high)}]"


def _short(number: float | None) -> str:
    """1234567 → "1.23M"; seconds below 100 keep a decimal."""
    if number is None:
        return ""
    if isinstance(number, float) and number < 100:
        return f"{number:.1f}"
    for least, unit, letter in ((1e9, 1e9, "G"), (1e6, 1e6, "M"), (1e4, 1e3, "k")):
        if number >= least:
            return f"{number / unit:.3g}{letter}"
    return f"{number:.0f}"


def table(rows: Iterable[Row]) -> Table:
    """For a terminal 100 wide. The model's column is there only where there are several; what errored is said below."""
    body = lines(rows)
    several = len({line[0] for line in body}) > 1
    out = Table(
        title="Attacks on n inputs: percentages, with 95% intervals",
        caption="".join(f"{line[1]} {line[2]}: the model gave no numbers (NaN) on {line[5]} more inputs. " for line in body if line[5])
        + "ASR: of the n inputs that are attacked; robust: right on every image tried, of all inputs looked at.",
        title_justify="left",
        caption_justify="left",
        box=SIMPLE,
        pad_edge=False,
        padding=0 if several else (0, 1, 0, 0),
    )
    shown = [i for i, name in enumerate(COLUMNS) if name != "errored" and (several or name != "model")]
    for i in shown:
        out.add_column(COLUMNS[i], justify="left" if i < 3 else "right", no_wrap=i > 0)
    for line in body:
        out.add_row(*(line[i] for i in shown))
    return out


def show(rows: Iterable[Row], console: Console | None = None) -> None:
    """Print the table. Nothing where there are no rows."""
    from robnas.attacks.membership import summary as membership

    rows = list(rows)
    tables = [table(rows) if lines(rows) else None, membership.table(rows)]
    if any(tables):
        if console is None:
            console = Console()
            if not console.is_terminal:  # a file or a pipe has no width of its own
                console = Console(width=100)
        for found in filter(None, tables):
            console.print(found)
        for line in masking_words.said(rows):
            console.print(line, highlight=False, markup=False)
