"""The jobs of a plan, one after another as they can be: what is done is skipped, what failed is tried once more, the rest goes on."""

import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from robnas.results import STUDY
from robnas.study.executor import Executor, Outcome
from robnas.study.flag_words import MARK
from robnas.study.notes import Note, Notes
from robnas.study.plan import Plan, PlannedJob

ATTEMPTS = 2
"""Of each job, in one run of the study."""
WRITTEN_EVERY = 2.0
"""Seconds between two writings of the plan."""


class Running:
    """A plan on its way through an executor.

    At most one evaluation at a time works in a run folder, so that on a store without locks none can lose another's rows.

    Args:
        plan: changed as jobs end, and kept in the folder.
        folder: of the study.
        told: called as told(job, what happened in a few words) after a job has ended, or was found done.
    """

    def __init__(self, plan: Plan, folder: Path, told: Callable[[PlannedJob, str], None] = lambda job, said: None) -> None:
        self.plan, self.folder, self.told = plan, folder, told
        self.notes = Notes(folder)
        self.by_id = {job.id: job for job in plan.jobs}
        self._argv: dict[str, list[str]] = {}
        self._written = 0.0

    def find_done(self, write: bool = True, anew: bool = False) -> None:
        """What an earlier run has done. write: into the plan of the folder, too. anew: what was found before does not count."""
        for job in self.plan.jobs:
            job.state = "waiting" if anew else job.state
            if all(self.by_id[need].state == "done" for need in job.needs) and (note := self.notes.find(self.argv(job))):
                self._done(job, note, attempts=0)
        if write:
            self.write()

    def run(self, executor: Executor) -> None:
        """Until nothing is left that could be done. However it ends, the plan says how all jobs stand."""
        with self._named():
            try:
                while self._submit(executor):
                    for id, outcome in executor.wait():
                        self._ended(self.by_id[id], outcome)
                    self.write(soon=True)
            finally:
                for job in self.plan.jobs:
                    job.state = "waiting" if job.state == "running" else job.state
                self.write()

    def _submit(self, executor: Executor) -> bool:
        """Whether anything runs now."""
        running = [job for job in self.plan.jobs if job.state == "running"]
        taken = {run for job in running if not _trains(job) for run in self._runs(job)}
        for job in self.plan.jobs:
            if len(running) >= executor.slots:
                break
            if job.state != "waiting":
                continue
            states = [self.by_id[need].state for need in job.needs]
            if "failed" in states or "blocked" in states:
                missing = next(need for need in job.needs if self.by_id[need].state in ("failed", "blocked"))
                job.state, job.error = "blocked", f"needs {missing}"
                self.told(job, f"blocked, as it {job.error}")
            elif all(state == "done" for state in states) and (_trains(job) or not taken & set(self._runs(job))):
                argv = self.argv(job)
                if job.attempts == 0 and (note := self.notes.find(argv)):  # the run that it is about was itself only now found done
                    self._done(job, note, attempts=0)
                    continue
                job.state, job.argv, job.attempts = "running", argv, job.attempts + 1
                executor.submit(job.id, argv, self._runs(job))
                running.append(job)
                taken |= set() if _trains(job) else set(self._runs(job))
        return bool(running)

    def _ended(self, job: PlannedJob, outcome: Outcome) -> None:
        job.seconds, job.log = round(outcome.seconds, 1), self.notes.relative(outcome.log)
        if outcome.good:
            argv = self._argv[job.id]
            at = outcome.folder if _trains(job) or not job.needs else self._runs(job)[0]  # of several runs, the first
            self._done(job, self.notes.remember(argv, outcome, at, job.attempts), job.attempts)
            return
        job.error = last_words(outcome)
        job.state = "waiting" if job.attempts < ATTEMPTS else "failed"
        again = "tried once more" if job.state == "waiting" else "failed"
        self.told(job, f"{again}: {job.error}; log: {outcome.log}")

    def _done(self, job: PlannedJob, note: Note, attempts: int) -> None:
        job.state, job.folder, job.log, job.seconds, job.attempts, job.error = "done", note.folder, note.log, note.seconds, attempts, None
        job.argv = self.argv(job)
        self.told(job, f"done in {note.seconds:.0f} s" if attempts else "was done before")

    def argv(self, job: PlannedJob) -> list[str]:
        """The command, with run folders for the ids of the jobs that it needs."""

        def place(match: re.Match[str]) -> str:
            need = self.by_id.get(match[1])
            return match[0] if need is None else str(self.folder / str(need.folder))

        self._argv[job.id] = [MARK.sub(place, word) for word in job.argv]
        return self._argv[job.id]

    def _runs(self, job: PlannedJob) -> list[Path]:
        return [self.folder / str(self.by_id[need].folder) for need in job.needs]

    def write(self, soon: bool = False) -> None:
        """The plan into the folder. soon: not if it was written just now; a report has no need of every second."""
        if not soon or time.monotonic() - self._written > WRITTEN_EVERY:
            self.plan.write(self.folder)
            self._written = time.monotonic()

    @contextmanager
    def _named(self) -> Iterator[None]:
        """Rows say which study asked for them: workers hand it on."""
        before = os.environ.get(STUDY)
        os.environ[STUDY] = self.plan.study
        try:
            yield
        finally:
            os.environ.pop(STUDY)
            if before is not None:
                os.environ[STUDY] = before


def last_words(outcome: Outcome) -> str:
    """Of the log of a job that failed: what robnas complained of, else the last line."""
    how = f"killed by signal {-outcome.status}" if outcome.status < 0 else f"exit status {outcome.status}"
    try:
        lines = [line.strip() for line in outcome.log.read_text("utf-8", errors="replace").splitlines() if line.strip()]
    except OSError:
        return how
    if outcome.status < 0 or not lines:
        return how
    start = max((i for i, line in enumerate(lines) if line.startswith("$ robnas ")), default=0)
    own = [line for line in lines[start + 1 :] if line.startswith("robnas: ")]
    return (own or lines)[-1].removeprefix("robnas: ")[:300]


def _trains(job: PlannedJob) -> bool:
    return job.argv[0] == "fit"
