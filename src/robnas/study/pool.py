"""A pool of warm worker processes on this machine: runs robnas commands as jobs, and goes on after a kill of a worker or of itself."""

import json
import os
import selectors
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from robnas import atomic, jobs
from robnas.errors import UserError, require
from robnas.identity import identity_of
from robnas.study.executor import Outcome, going_on

LAUNCHERS = ("MASTER_", "TORCHELASTIC_", "SLURM_", "LSB_", "JSM_", "PL_", "LOCAL_", "GROUP_", "ROLE_", "NODE_RANK", "WORLD_SIZE", "RANK")
"""How variables begin by which a process learns that it is one of several ranks. A worker is none, whoever started its pool."""


@dataclass(frozen=True)
class Job:
    """A command that was submitted. id: whoever submits knows it by that."""

    id: str
    argv: tuple[str, ...]


@dataclass
class Worker:
    """A process, and the job it has. place: which of the pool's it is, from 0; ready: it has said that it waits for its first job."""

    process: "subprocess.Popen[str]"
    place: int = 0
    job: "Job | None" = None
    since: float = 0.0
    ready: bool = False


@dataclass
class Pool:
    """Runs commands, `workers` at a time, each worker on its share of the cores. An `Executor`: `submit` and `wait` are one by one.

    `run` does many, and remembers:

    A command that was done in an earlier call is not run again; the folder remembers. `fit` gets `--ckpt_path last`, unless it says
    otherwise, so a job that was killed goes on where it was, and a finished one returns at once. A worker that dies takes nothing with
    it: its job is tried once more on a new one.

    `with Pool(…) as pool:` keeps the workers from one `run` to the next, warm, and ends them with the block. However this process ends,
    by SIGKILL too, they end with it.

    Args:
        workers: processes at a time.
        folder: keeps logs and what is done.
        runner: "module:function", called as function(argv) in the worker.
        preload: modules that every worker imports before its first job.
        threads: of each worker; its share of the cores if not given.
        quiet: no progress.
        devices: CUDA devices as CUDA_VISIBLE_DEVICES names them; the workers get one each, in turn. None: they see what this process does.
        ended: told of each command that has ended.
    """

    workers: int = 2
    folder: Path = Path("runs/.pool")
    runner: str = "robnas.__main__:main"
    preload: Sequence[str] = ("robnas.cli",)
    threads: int | None = None
    quiet: bool = False
    devices: Sequence[str] = ()
    ended: Callable[[Outcome], None] | None = None
    _alive: list[Worker] = field(default_factory=list, init=False, repr=False)
    _stay: bool = field(default=False, init=False, repr=False)
    _queue: deque[Job] = field(default_factory=deque, init=False, repr=False)
    _selector: selectors.BaseSelector = field(default_factory=selectors.DefaultSelector, init=False, repr=False)

    def __post_init__(self) -> None:
        require(self.workers >= 1, f"workers: {self.workers} is not at least 1")
        self.folder = Path(self.folder)

    def __enter__(self) -> Self:
        self._stay = True
        return self

    def __exit__(self, *exception: object) -> None:
        self._stay = False
        self.close()

    def close(self) -> None:
        """End all workers, whatever they do, and forget what waits."""
        self._queue.clear()
        for worker in self._alive:
            worker.process.kill()
        while self._alive:
            self._bury(self._alive.pop())

    # One by one

    @property
    def slots(self) -> int:
        """Jobs at a time."""
        return self.workers

    def submit(self, id: str, argv: Sequence[str], needs: Sequence[Path] = ()) -> None:
        """As `Executor.submit`. needs: all workers see this machine's files."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._queue.append(Job(id, tuple(map(str, argv))))
        self._assign()

    def wait(self) -> list[tuple[str, Outcome]]:
        """As `Executor.wait`."""
        return [(job.id, outcome) for job, outcome, _ in self._ended()]

    # Many

    def run(self, commands: Sequence[Sequence[str]]) -> list[Outcome]:
        """argv of each command, without "robnas" → how each ended, in the same order.

        Ends all workers before it returns, but for those that a `with` block keeps; where it raises, those too.
        """
        todo = [tuple(map(str, argv)) for argv in commands]
        self.folder.mkdir(parents=True, exist_ok=True)
        outcomes: dict[int, Outcome] = {i: Outcome(argv, 0, self.log(argv), attempts=0) for i, argv in enumerate(todo) if self.done(argv)}
        first = {argv: i for i, argv in reversed(list(enumerate(todo)))}  # the same command twice is one job
        waiting = [i for i in sorted(first.values()) if i not in outcomes]
        attempts = dict.fromkeys(waiting, 1)
        for worker in [w for w in self._alive if w.process.poll() is not None]:  # since the last run
            self._dead(worker)
        self._queue.extend(Job(str(i), todo[i]) for i in waiting)
        try:
            with self._progress(len(todo)) as show:
                show(outcomes)
                while ended := self._ended():
                    for job, outcome, died in ended:
                        i = int(job.id)
                        if died and attempts[i] < 2:
                            attempts[i] += 1
                            self._queue.appendleft(job)
                        else:
                            outcomes[i] = replace(outcome, attempts=attempts[i])
                            self._remember(outcomes[i])
                    show(outcomes)
        except BaseException:
            self.close()
            raise
        finally:
            if not self._stay:
                self.close()
        return [outcomes[first[argv]] if i not in outcomes else outcomes[i] for i, argv in enumerate(todo)]

    def _ended(self) -> list[tuple[Job, Outcome, bool]]:
        """Jobs that have ended, and whether their worker died; waits for one. Empty where there is nothing to wait for."""
        ended: list[tuple[Job, Outcome, bool]] = []
        try:
            while not ended and (self._queue or any(w.job is not None for w in self._alive)):
                self._assign()
                for worker, answer in self._answers():
                    status = answer.get("status", 0) if answer else self._dead(worker)
                    if (job := worker.job) is not None:
                        folder = Path(answer["folder"]) if answer and answer["folder"] else None
                        outcome = Outcome(job.argv, status, self.log(job.argv), time.monotonic() - worker.since, folder=folder)
                        ended.append((job, outcome, answer is None))
                    elif answer is None and not worker.ready:
                        raise UserError(f"a worker ended before it was ready (status {status}): see {self._own_log}")
                    worker.job, worker.ready = None, True
        except BaseException:
            self.close()
            raise
        return ended

    def _assign(self) -> None:
        """What waits goes to workers that are idle; as many are started as there is work for."""
        for worker in self._idle():
            if self._queue:
                worker.job, worker.since = self._queue.popleft(), time.monotonic()
                self._give(worker, worker.job.argv)
        while len(self._alive) < min(self.workers, len(self._queue) + sum(w.job is not None for w in self._alive)):
            self._alive.append(self._begin())

    # What is remembered

    def log(self, argv: Sequence[str]) -> Path:
        """What a command printed, over all its attempts."""
        return self.folder / f"{identity_of({'argv': [f'{word} ' for word in argv]})[:12]}.log"

    def done(self, argv: Sequence[str]) -> bool:
        """Whether it came to a good end before, with the same files and run folders. A `fit` is asked itself: it knows its folder."""
        return tuple(argv[:1]) != ("fit",) and self._note(argv).is_file()

    def _note(self, argv: Sequence[str]) -> Path:
        runs = [str(job.facts.get("created")) for word in argv if (job := jobs.job_at(word)) is not None]  # not one that was made anew
        return self.folder / f"{identity_of({'argv': list(argv)}, runs)[:12]}.json"

    def _remember(self, outcome: Outcome) -> None:
        if outcome.good and outcome.argv[:1] != ("fit",):
            note = {"argv": outcome.argv, "seconds": round(outcome.seconds, 1), "attempts": outcome.attempts}
            atomic.write(self._note(outcome.argv), json.dumps(note) + "\n")

    # Workers

    @property
    def _own_log(self) -> Path:
        return self.folder / "workers.log"

    def _begin(self) -> Worker:
        place = min(set(range(self.workers)) - {worker.place for worker in self._alive})
        threads = str(self.threads or max(1, (os.cpu_count() or 1) // self.workers))
        environment = {name: value for name, value in os.environ.items() if not name.startswith(LAUNCHERS)}
        environment |= {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads, "PYTHONUNBUFFERED": "1"}
        if self.devices:
            environment["CUDA_VISIBLE_DEVICES"] = self.devices[place % len(self.devices)]
        with self._own_log.open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "robnas.study.worker", str(os.getpid()), self.runner, *self.preload],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=environment,
                text=True,
                bufsize=1,
                start_new_session=True,  # Ctrl-C is this process's to answer: a job that it ended would count as one that failed
            )
        worker = Worker(process, place)
        assert process.stdout is not None
        self._selector.register(process.stdout, selectors.EVENT_READ, worker)
        return worker

    def _idle(self) -> list[Worker]:
        return [worker for worker in self._alive if worker.ready and worker.job is None]

    def _give(self, worker: Worker, argv: tuple[str, ...]) -> None:
        assert worker.process.stdin is not None
        with suppress(BrokenPipeError):  # it died in between; its end is read next
            worker.process.stdin.write(json.dumps({"argv": going_on(argv), "log": str(self.log(argv))}) + "\n")

    def _answers(self) -> Iterator[tuple[Worker, dict[str, Any] | None]]:
        """Workers that are ready or have finished a job, with what they say; None: dead."""
        for key, _ in self._selector.select():
            line = key.fileobj.readline()  # type: ignore[union-attr]
            yield key.data, json.loads(line) if line.endswith("\n") else None

    def _dead(self, worker: Worker) -> int:
        self._alive.remove(worker)
        return self._bury(worker)

    def _bury(self, worker: Worker) -> int:
        process = worker.process
        for pipe in (process.stdin, process.stdout):
            if pipe is not None and not pipe.closed:
                if pipe is process.stdout:
                    self._selector.unregister(pipe)
                with suppress(BrokenPipeError):
                    pipe.close()
        return process.wait()

    @contextmanager
    def _progress(self, total: int) -> Iterator[Any]:
        console = Console(stderr=True, quiet=self.quiet)
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        said: set[int] = set()
        with Progress(*columns, console=console, disable=self.quiet or not console.is_terminal) as bar:
            task = bar.add_task("jobs", total=total)

            def show(outcomes: dict[int, Outcome]) -> None:
                bar.update(task, completed=len(outcomes))
                for i in sorted(set(outcomes) - said):
                    said.add(i)
                    if self.ended is not None:
                        self.ended(outcomes[i])
                    console.print(f"[{len(said)}/{total}] {outcomes[i]}", markup=False, highlight=False, soft_wrap=True)

            yield show
