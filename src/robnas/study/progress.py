"""How far a study is and how long it will take: from what its jobs, and those before them, have taken."""

from collections import defaultdict
from collections.abc import Iterable
from statistics import fmean
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from robnas.study.plan import PlannedJob


def seconds_left(jobs: Iterable[PlannedJob], slots: int) -> float | None:
    """Of jobs that wait or run: the mean of those like them that are done; of none like them, of all; None where none is done.

    Like them: of the same kind, attack or probe, and training, then of the same kind. What runs counts as if it had just begun.
    """
    taken: dict[tuple[str, ...], list[float]] = defaultdict(list)
    jobs = list(jobs)
    for job in jobs:
        if job.state == "done" and job.seconds is not None:
            for key in _like(job):
                taken[key].append(job.seconds)
    open_ones = [job for job in jobs if job.state in ("waiting", "running")]
    if not taken:
        return None if open_ones else 0.0
    each = [fmean(next(taken[key] for key in _like(job) if key in taken)) for job in open_ones]
    return max([sum(each) / slots, *each[:1]]) if each else 0.0


def _like(job: PlannedJob) -> list[tuple[str, ...]]:
    return [(job.kind, job.block, job.model), (job.kind, job.block), (job.kind,), ()]


def spoken(seconds: float) -> str:
    """ "40 s", "12 min", "3.5 h", "4.2 days"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 48 * 3600 else f"{seconds / 86400:.1f} days"


class Shown:
    """On a terminal a bar, and a line for what failed; elsewhere a line for each job that has ended."""

    def __init__(self, jobs: list[PlannedJob], slots: int, console: Console) -> None:
        self.jobs, self.slots, self.console = jobs, slots, console
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[left]}"))
        self.bar = Progress(*columns, console=console, disable=not console.is_terminal)
        self.task = self.bar.add_task("jobs", total=len(jobs), left="")

    def __enter__(self) -> Self:
        self.bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.bar.stop()

    def update(self, ended: PlannedJob | None = None, said: str = "") -> None:
        """After something has changed. ended: the job that did; said: of it."""
        over = sum(job.state in ("done", "failed", "blocked") for job in self.jobs)
        left = seconds_left(self.jobs, self.slots)
        about = f"about {spoken(left)} left" if left else ""
        running = [job.id for job in self.jobs if job.state == "running"]
        self.bar.update(self.task, completed=over, left=about, description=" ".join(running[:1]) or "jobs")
        if ended is not None and (not self.console.is_terminal or ended.state != "done"):
            line = f"[{over}/{len(self.jobs)}] {ended.id}: {said}" + (f"; {about}" if about else "")
            self.console.print(line, markup=False, highlight=False, soft_wrap=True)
