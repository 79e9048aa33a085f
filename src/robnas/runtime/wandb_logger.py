"""W&B at arm's length: the run only ever appends to a file; a process of its own reads it and talks to W&B.

So no missing account, dead network, slow server or bug over there can stop, delay or break a run, nor ask it anything.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_only

GRACE = 3.0
"""Seconds that the end of a run waits for the other process at most; that goes on by itself, and gives up in time."""

_left: list["subprocess.Popen[bytes]"] = []  # those that were not waited for


class Wandb(Logger):
    """Metrics, pictures and tables for W&B.

    Args:
        folder: the run folder; W&B's files go to `wandb/` in it.
        mode: "offline" (`wandb sync` sends it later) or "online".
        label: what the run is called; the group is the folder above.
        config: shown beside the metrics.
    """

    def __init__(self, folder: str | Path, mode: str = "offline", label: str = "", config: Mapping[str, Any] | None = None) -> None:
        super().__init__()
        self.folder, self.mode, self.label, self.config = Path(folder).absolute(), mode, label, dict(config or {})
        self._process: subprocess.Popen[bytes] | None = None
        self._events: Path | None = None
        self._broken = self._complained = False
        self._seconds = 0.0

    @property
    def name(self) -> str:
        """Lightning wants one."""
        return "wandb"

    @property
    def version(self) -> str:
        """The run's id: the job's, so that a run that goes on stays one."""
        return self.folder.name

    @property
    def save_dir(self) -> str:
        """The run folder."""
        return str(self.folder)

    @rank_zero_only
    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        """The run's configuration is sent already; this only starts the other process early."""
        self._say(dict)

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """By step, as Lightning counts it."""
        self._say(lambda: {"kind": "metrics", "values": {k: float(v) for k, v in metrics.items()}, "step": step})

    @rank_zero_only
    def log_image(self, key: str, images: Sequence[Any], caption: Sequence[str] | None = None, **_: Any) -> None:
        """images: picture files, which must stay where they are for a moment; arrays [H, W] or [H, W, 3] uint8; or PIL's."""
        self._say(lambda: {"kind": "images", "key": key, "paths": [self._file(p) for p in images], "captions": list(caption or [])})

    @rank_zero_only
    def log_table(self, key: str, columns: Sequence[str], data: Sequence[Sequence[Any]], **_: Any) -> None:
        """data: rows of plain values."""
        self._say(lambda: {"kind": "table", "key": key, "columns": list(columns), "rows": [list(row) for row in data]})

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Wait a moment for the other process, no longer than `GRACE`, and say in a line what went wrong there, if anything did."""
        if self._process is None or self._broken:
            return
        self._say(lambda: {"kind": "end", "code": 0 if status in ("success", "finished") else 1})
        end, process = time.monotonic() + GRACE, self._process
        while process.poll() is None and time.monotonic() < end:
            time.sleep(0.02)
        self._listen()
        if process.poll() is None:
            warn("its files are still being written, which nothing waits for any longer; --wandb=off does without them")
        elif process.poll() and not self._complained:
            warn(f"its process ended with status {process.poll()}, see {self.folder / 'wandb' / 'log.txt'}")
        _left.append(process)
        self._process = None

    def _say(self, make: Callable[[], dict[str, Any]]) -> None:
        """Append a line to the file; nothing of this may ever raise, so the event is made here as well."""
        if self._broken:
            return
        try:
            if self._process is None:
                self._begin()
            if (event := make()) and self._events is not None:
                with self._events.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(event, default=str) + "\n")
            self._listen()
        except Exception as error:
            self._give_up(f"{type(error).__name__}: {error}")

    def _file(self, picture: Any) -> str:
        """The path of a picture, written to the run folder first where it is no file yet."""
        if isinstance(picture, str | Path):
            return str(Path(picture).absolute())
        from PIL import Image

        folder = self.folder / "wandb" / "pictures"
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{len(list(folder.iterdir()))}.png"
        (picture if isinstance(picture, Image.Image) else Image.fromarray(picture)).save(path)
        return str(path)

    def _begin(self) -> None:
        _left[:] = [p for p in _left if p.poll() is None]
        folder = self.folder / "wandb"
        folder.mkdir(parents=True, exist_ok=True)
        self._events = folder / f"events-{os.getpid()}.jsonl"
        start = {"mode": self.mode, "id": self.version, "label": self.label, "group": self.folder.parent.name, "config": self.config}
        self._events.write_text(json.dumps(start, default=str) + "\n", encoding="utf-8")
        self._said.unlink(missing_ok=True)
        with (folder / "log.txt").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "robnas.runtime.wandb_process", str(self._events), str(os.getpid())],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for the run; this one then still writes down what it has
            )

    @property
    def _said(self) -> Path:
        assert self._events is not None
        return self._events.with_suffix(".said")

    def _listen(self) -> None:
        """The other process's only word is a complaint."""
        if self._events is not None and self._said.is_file():
            text = self._said.read_text("utf-8").strip()
            self._said.unlink(missing_ok=True)
            self._complained = True
            warn(text)

    def _give_up(self, reason: str) -> None:
        self._broken = True
        warn(reason)


def warn(reason: str) -> None:
    """One line; the run goes on."""
    print(f"W&B: {' '.join(reason.split())[:200]} (metrics.csv has everything)", file=sys.stderr, flush=True)
