"""A bar for one batch of an attack that takes long, where somebody watches; a line now and then where output goes to a file."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich import get_console
from rich.errors import LiveError
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from robnas import collectives

EVERY = 30.0
"""Seconds from one line to the next."""


class Lines:
    """Lines for standard output, one in `EVERY` seconds at most. None on a terminal, which has a bar, on ranks but the first, and where a
    trainer has its progress switched off.
    """

    def __init__(self, trainer: Any) -> None:
        wanted = getattr(trainer, "progress_bar_callback", None) is not None
        self.on = wanted and collectives.rank() == 0 and not get_console().is_terminal
        self.since = time.monotonic()

    def __call__(self, line: str) -> None:
        """Said, if its time has come."""
        if self.on and time.monotonic() - self.since >= EVERY:
            self.since = time.monotonic()
            print(line, flush=True)


@contextmanager
def bar(name: str, total: int) -> Iterator[Callable[[int], None]]:
    """A function to be told how many queries were asked, of about `total`. Silent on a file or a pipe, and on ranks but the first."""
    console = get_console()
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed:,} of about {task.total:,} queries"))
    shown = Progress(*columns, TimeRemainingColumn(), console=console, transient=True)
    watched = console.is_terminal and collectives.rank() == 0
    try:
        if watched:
            shown.start()
    except LiveError:  # another bar is there, and this version of rich shows one only
        watched = False
    task = shown.add_task(name, total=total)
    try:
        yield (lambda n: shown.update(task, advance=n)) if watched else (lambda n: None)
    finally:
        if watched:
            shown.stop()
