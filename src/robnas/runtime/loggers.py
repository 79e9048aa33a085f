"""Who writes down the numbers of a run: metrics.csv always and first, W&B where it is wanted."""

import csv
import os
import time
from collections.abc import Mapping
from io import StringIO
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_only

from robnas import atomic
from robnas.errors import unknown

WANDB_MODES = ("off", "offline", "online")


def build(
    folder: Path, wandb: str = "offline", name: str = "", config: Mapping[str, Any] | None = None, file: str = "metrics.csv"
) -> list[Logger]:
    """The loggers of a run, the CSV first: Lightning takes its folder for the run's. Raises UserError for another mode of W&B."""
    if wandb not in WANDB_MODES:
        raise unknown("wandb", wandb, WANDB_MODES)
    loggers: list[Logger] = [CSV(folder, file)]
    if wandb != "off":
        from robnas.runtime.wandb_logger import Wandb

        loggers.append(Wandb(folder, wandb, name, dict(config or {})))
    return loggers


class CSV(Logger):
    """`metrics.csv` directly in the run folder: a row for each step that logs, a column for each metric; empty where it was not logged.

    Written at once and on the disk's side of this process, so a kill loses nothing. `seconds` is the time the run has taken so far.
    """

    def __init__(self, folder: str | Path, file: str = "metrics.csv") -> None:
        super().__init__()
        self.path = Path(folder) / file
        self.columns = ["step", "epoch", "seconds"]
        self._row: dict[str, str] = {}  # the last one, which may still grow
        self._offset, self._before, self._start = 0, 0.0, time.monotonic()
        self._ready = False

    @property
    def name(self) -> str:
        """Lightning wants one."""
        return "csv"

    @property
    def version(self) -> str:
        """Lightning wants one."""
        return ""

    @property
    def save_dir(self) -> str:
        """The run folder."""
        return str(self.path.parent)

    @rank_zero_only
    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        """config.yaml has them."""

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Metrics of one step become one row, however many calls bring them."""
        self._open()
        row = {k: _text(v) for k, v in metrics.items()} | {"step": str(step or 0)}
        if grows := row["step"] == self._row.get("step"):
            row = self._row | row
        else:
            self._offset = self.path.stat().st_size
        self._row = row | {"seconds": row.get("seconds") or f"{self._before + time.monotonic() - self._start:.1f}"}
        if new := [k for k in metrics if k not in self.columns]:
            self.columns += new
            rows = read(self.path)  # evaluations all have step 0: only the row that grew is replaced
            self._rewrite([*(rows[:-1] if grows else rows), self._row])
        else:
            self._put(_line([self._row.get(c, "") for c in self.columns]))

    @rank_zero_only
    def go_on_after(self, step: int, row: Mapping[str, float]) -> None:
        """Forget the rows after `step`, which will come again; `row` is that step's, should a kill have kept it from being written."""
        self._open()
        rows = [r for r in read(self.path) if int(r["step"]) <= step]
        self.columns = _columns(self.path) or self.columns
        self._before, self._start = (float(rows[-1].get("seconds") or 0) if rows else 0.0), time.monotonic()
        self._row = rows[-1] if rows else {}
        self._rewrite(rows)
        if row:
            self.log_metrics(row, step)

    def _open(self) -> None:
        if not self._ready:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.columns = _columns(self.path) or self.columns
            self._rewrite(read(self.path))
            self._ready = True

    def _rewrite(self, rows: list[dict[str, str]]) -> None:
        lines = [_line(self.columns), *(_line([r.get(c, "") for c in self.columns]) for r in rows)]
        atomic.write(self.path, "".join(lines))
        self._offset = sum(len(line.encode()) for line in (lines[:-1] if rows else lines))

    def _put(self, line: str) -> None:
        """One write: the row is there or not. A row that grew takes the place of its shorter self."""
        file = os.open(self.path, os.O_WRONLY)
        try:
            os.pwrite(file, line.encode(), self._offset)
            os.ftruncate(file, self._offset + len(line.encode()))
        finally:
            os.close(file)


def read(path: Path) -> list[dict[str, str]]:
    """The rows of a metrics.csv, as text; a last line that a kill cut short is left out."""
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        return []
    whole = text[: text.rfind("\n") + 1]
    return [row for row in csv.DictReader(StringIO(whole)) if None not in row.values() and (row.get("step") or "").isdigit()]


def _columns(path: Path) -> list[str]:
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return next(csv.reader(file), [])


def _line(values: list[str]) -> str:
    out = StringIO()
    csv.writer(out, lineterminator="\n").writerow(values)
    return out.getvalue()


def _text(value: Any) -> str:
    return str(value) if isinstance(value, int) else repr(float(value))
