"""A bar for one batch of an attack that takes long, where somebody watches; beside Lightning's own if the terminal has one."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich import get_console
from rich.errors import LiveError
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from robnas import collectives


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
