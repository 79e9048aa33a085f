"""The report's tables to W&B, by a process of its own: it can neither stop nor delay the report. Imports no torch."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from robnas.report.exhibit import Cell, Entry, Exhibit

GRACE = 10.0
"""Seconds that the command waits for the other process at most; that goes on by itself, and gives up in time."""


def send(exhibits: Sequence[Exhibit], folder: Path, name: str, mode: str, grace: float = GRACE) -> str:
    """Every table as `report/KEY` → what to tell the user, in a line. Never raises.

    Args:
        folder: W&B's files go to `wandb/` in it. name: of the study. mode: "offline" (`wandb sync` sends it later) or "online".
    """
    try:
        process, events = _start(exhibits, folder, name, mode)
    except Exception as error:  # the report is written; this is a copy of it
        return f"W&B: nothing is kept: {type(error).__name__}: {error}"
    end = time.monotonic() + grace
    while process.poll() is None and time.monotonic() < end:
        time.sleep(0.1)
    said = events.with_suffix(".said")
    if said.is_file():
        return f"W&B: {said.read_text('utf-8', errors='replace')}"
    where = folder / "wandb"
    return f"W&B: {mode}, in {where}" if process.poll() is not None else f"W&B: still at work, its log: {where / 'log.txt'}"


def event(exhibit: Exhibit) -> dict[str, Any]:
    """A table as the other process takes it: beside each column of numbers with intervals their ends."""
    assert exhibit.table is not None
    table = exhibit.table
    wide = [any(isinstance(row[i], Cell) and bool(row[i].interval) for row in table.rows) for i in range(len(table.columns))]  # type: ignore[union-attr]
    columns = [
        part for name, w in zip(table.columns, wide, strict=True) for part in ((name, f"{name}: low", f"{name}: high") if w else (name,))
    ]
    rows = []
    for row in table.rows:
        out: list[Any] = []
        for i, (entry, w) in enumerate(zip(row, wide, strict=True)):
            numeric = w or any(isinstance(other[i], Cell) for other in table.rows)
            ends = (entry.low, entry.high) if isinstance(entry, Cell) else (None, None)
            out += [_plain(entry, numeric), *(ends if w else ())]
        rows.append(out)
    return {"kind": "table", "key": f"report/{exhibit.key}", "columns": columns, "rows": rows}


def _plain(entry: Entry, numeric: bool) -> Any:
    if isinstance(entry, Cell):
        return entry.value if entry.there else None
    return None if numeric else entry


def _start(exhibits: Sequence[Exhibit], folder: Path, name: str, mode: str) -> tuple[subprocess.Popen[bytes], Path]:
    """All events are there before the other process begins, so that it needs this one no more."""
    place = (folder / "wandb").absolute()
    place.mkdir(parents=True, exist_ok=True)
    events = place / f"report-{os.getpid()}.jsonl"
    start = {
        "mode": mode,
        "id": f"report-{abs(hash(str(place))):x}-{int(time.time())}",
        "label": f"report of {name}",
        "group": name,
        "config": {},
    }
    tables = [event(exhibit) for exhibit in exhibits if exhibit.table is not None and exhibit.table.rows]
    lines = [json.dumps(line, default=str) for line in [start, *tables, {"kind": "end", "code": 0}]]
    events.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    with (place / "log.txt").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "robnas.runtime.wandb_process", str(events), str(os.getpid())],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    return process, events
