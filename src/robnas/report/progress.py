"""What `robnas report` is at: on a terminal at once and in one line, elsewhere a line now and then if it takes long."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import IO

PATIENCE = 4.0
"""Seconds before the first line where nobody looks at a terminal, and between lines there; a short report says nothing but where it is."""
BLINK = 0.1
"""Seconds between changes of a terminal's line."""


class Said:
    """Called with what is made now: "fig-2", "12,000 rows". file: that it is said in; clock: in seconds."""

    def __init__(self, file: IO[str] | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self.file, self.clock = file or sys.stderr, clock
        self.line = self.file.isatty()
        self.last = clock() - (BLINK if self.line else 0)

    def __call__(self, what: str) -> None:
        """Say it, if there was quiet long enough."""
        now = self.clock()
        if now - self.last >= (BLINK if self.line else PATIENCE):
            self.last = now
            print(f"\r\033[K{what}" if self.line else f"report: {what} …", end="" if self.line else "\n", file=self.file, flush=True)

    def done(self) -> None:
        """The line goes."""
        if self.line:
            print("\r\033[K", end="", file=self.file, flush=True)


def silent(what: str) -> None:
    """Nothing."""
