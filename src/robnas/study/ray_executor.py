"""A study's jobs on a Ray cluster: warm workers on any of its nodes. `pip install 'robnas[ray]'`; Ray is imported when one is made.

Run folders come back through a file system that all nodes share, or through a store (`study.store`). A job whose node is lost is run again
on another one, and goes on from the last checkpoint that came out of it: the shared folder's, or the last that was pushed.
"""

import os
import sys
import time
import uuid
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from robnas._version import __version__
from robnas.errors import UserError, require
from robnas.identity import identity_of
from robnas.study import ray_cluster
from robnas.study.courier import Courier
from robnas.study.executor import Outcome, going_on
from robnas.study.pool import LAUNCHERS
from robnas.study.ray_worker import Actor, Order

LOST = 5
"""Nodes that a job may lose before it counts as one that failed: it may be what kills them."""

PATIENCE = 60.0
"""Seconds after which the user hears that a cluster has no room; and for which a shared file system may hide a new folder."""


@dataclass
class _Job:
    id: str
    argv: tuple[str, ...]
    needs: list[Path]
    attempts: int = 0
    since: float = 0.0


@dataclass
class _Worker:
    actor: Any
    node: str = ""
    job: _Job | None = None


@dataclass
class RayExecutor:
    """Runs jobs on a Ray cluster, `slots` at a time. As a context manager; leaving it ends all workers, and the cluster if it began it.

    Args:
        folder: keeps the logs, `<study>/.pool`; its parent is the study's folder, which holds the run folders.
        workers: jobs at a time; None: as many as the cluster has room for at the start.
        threads: CPUs of a worker; None: its share of the cluster's, one where `workers` is not said.
        gpus: of a worker; half a GPU is lent to two. 0: jobs run on CPUs and see no GPU.
        address: of the cluster ("auto", "host:6379"); None: RAY_ADDRESS, else a cluster on this machine that ends with this object.
        store: URI of the store through which run folders come and go; None: all nodes see `folder` under the same path.
        every: seconds between two pushes of a job that runs; with a store.
        runner, preload: as the pool's.

    Raises:
        UserError: Ray is not installed, no cluster is there, or the study's folder cannot be named on other nodes.
    """

    folder: Path
    workers: int | None = None
    threads: int | None = None
    gpus: float = 0.0
    address: str | None = None
    store: str | None = None
    every: float = 120.0
    runner: str = "robnas.__main__:main"
    preload: Sequence[str] = ("robnas.cli",)
    slots: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        require(self.workers is None or self.workers >= 1, f"workers: {self.workers} is not at least 1")
        require(self.threads is None or self.threads >= 1, f"threads: {self.threads} is not at least 1")
        require(0 <= self.gpus <= 1, f"gpus: {self.gpus:g} is not in [0, 1]; one training on several GPUs is `robnas fit` with DDP")
        require(self.every > 0, f"every: {self.every:g} is not positive")
        self.folder = Path(self.folder)
        self._courier = Courier(self.store, self.folder.parent) if self.store is not None else None
        self._ray = ray_cluster.load()
        self._waiting: deque[_Job] = deque()
        self._starting: dict[Any, _Worker] = {}
        self._busy: dict[Any, _Worker] = {}
        self._idle: list[_Worker] = []
        self._token = self.folder / f"ray-{uuid.uuid4().hex[:8]}"
        self._said, self._refused, self._ours = time.monotonic(), 0, False

    # Begin and end

    def __enter__(self) -> Self:
        self._ours = ray_cluster.connect(self._ray, self.address, (self.workers or 1) * (self.threads or 1))
        try:
            nodes = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
            self.slots, self.threads = ray_cluster.room(nodes, self.workers, self.threads, self.gpus)
            self.folder.mkdir(parents=True, exist_ok=True)
            self._token.touch()
        except BaseException:
            self._leave()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            if self._idle and self._courier:
                with suppress(Exception):
                    self._ray.wait([w.actor.leave.remote() for w in self._idle], num_returns=len(self._idle), timeout=10)
            for worker in (*self._idle, *self._busy.values(), *self._starting.values()):
                self._kill(worker)
        finally:
            for kept in (self._waiting, self._idle, self._busy, self._starting):
                kept.clear()
            self._leave()

    def _leave(self) -> None:
        self._token.unlink(missing_ok=True)
        if self._ours:
            self._ray.shutdown()

    # Jobs

    def submit(self, id: str, argv: Sequence[str], needs: Sequence[Path] = ()) -> None:
        """As `Executor.submit`. With a store, needs that only this machine has are pushed when the job's turn comes."""
        self._waiting.append(_Job(id, tuple(map(str, argv)), [Path(need) for need in needs]))
        self._employ()

    def wait(self) -> list[tuple[str, Outcome]]:
        """As `Executor.wait`.

        Raises:
            UserError: no node can run jobs, for a reason that it says.
        """
        ended: list[tuple[str, Outcome]] = []
        while not ended and (self._waiting or self._busy):
            self._employ()
            refs = [*self._busy, *self._starting]
            done, _ = self._ray.wait(refs, num_returns=1, timeout=5.0)
            if done:
                done, _ = self._ray.wait(refs, num_returns=len(refs), timeout=0)  # and what else has ended
            for ref in done:
                if ref in self._starting:
                    self._started(self._starting.pop(ref), ref)
                elif (outcome := self._ended(self._busy.pop(ref), ref)) is not None:
                    ended.append(outcome)
            if not self._busy and not self._idle and time.monotonic() - self._said > PATIENCE:
                self._said = time.monotonic()
                _say(f"waiting for a node of the Ray cluster with {self.threads} CPUs and {self.gpus:g} GPUs")
        self._employ()
        return ended

    def log(self, argv: Sequence[str]) -> Path:
        """What a command printed, over all its attempts; the pool's file."""
        return self.folder / f"{_name(argv)}.log"

    def _give(self, worker: _Worker, job: _Job) -> None:
        job.attempts, job.since, worker.job = job.attempts + 1, time.monotonic(), job
        argv, files, needs = going_on(job.argv), {}, []
        if self._courier:
            argv, files = self._courier.words(argv), self._courier.files(argv)
            try:
                needs = self._courier.send(job.needs) if job.attempts == 1 else self._courier.runs(job.needs)
            except OSError as error:
                raise UserError(f"--store {self.store}: {' '.join(str(error).split())}") from error
        ref = worker.actor.run.remote(_name(job.argv), argv, needs, files, str(self.log(job.argv).resolve()), job.attempts)
        self._busy[ref] = worker

    def _ended(self, worker: _Worker, ref: Any) -> tuple[str, Outcome] | None:
        job, worker.job = worker.job, None
        assert job is not None
        try:
            answer = self._ray.get(ref)
        except self._ray.exceptions.RayError as error:
            return self._died(worker, job, error)
        self._idle.append(worker)
        self._employ()  # the next job runs while this one's folders come back
        if answer["said"] is not None:
            self._note(job, answer["said"])
        status, folder = answer["status"], Path(answer["folder"]) if answer["folder"] else None
        if self._courier:
            folder = self._courier.home(answer["folder"]) if answer["folder"] else None
            try:
                self._courier.collect(answer["folders"])
            except OSError as error:
                self._note(job, f"robnas: what the job has made did not come back: {error}\n".encode())
                status = status or 1
        elif status == 0:
            _seen(folder)
        return job.id, self._outcome(job, status, folder)

    def _died(self, worker: _Worker, job: _Job, error: Exception) -> tuple[str, Outcome] | None:
        self._kill(worker)
        lost = self._is_lost(worker, error)
        what = f"{'node' if lost else 'worker'} lost in attempt {job.attempts}"
        self._note(job, f"robnas: {what}: {' '.join(str(error).split())[:1000]}\n".encode())
        if lost and job.attempts <= LOST:
            _say(f"{job.id}: its node was lost; it goes on elsewhere")
            self._waiting.appendleft(job)
            return None
        return job.id, self._outcome(job, -9)

    def _is_lost(self, worker: _Worker, error: Exception) -> bool:
        """Whether the node is gone, and not the process alone, whose death is the job's own affair."""
        if isinstance(error, self._ray.exceptions.ActorUnavailableError):  # that a process died, its node would have said
            return True
        return not any(node["NodeID"] == worker.node and node["Alive"] for node in self._ray.nodes())

    def _outcome(self, job: _Job, status: int, folder: Path | None = None) -> Outcome:
        return Outcome(job.argv, status, self.log(job.argv), time.monotonic() - job.since, job.attempts, folder)

    def _note(self, job: _Job, text: bytes) -> None:
        with self.log(job.argv).open("ab") as file:
            file.write(text)

    # Workers

    def _employ(self) -> None:
        """Whoever is idle gets work, and as many workers begin as there is work for."""
        while self._waiting and self._idle:
            self._give(self._idle.pop(), self._waiting.popleft())
        wanted = min(self.slots, len(self._waiting) + len(self._busy))
        for _ in range(wanted - len(self._idle) - len(self._starting) - len(self._busy)):
            actor = self._ray.remote(Actor).options(num_cpus=self.threads, num_gpus=self.gpus, scheduling_strategy="SPREAD").remote()
            self._starting[actor.begin.remote(self._order())] = _Worker(actor)

    def _order(self) -> Order:
        environment = {name: value for name, value in os.environ.items() if name.startswith("ROBNAS_") and name != "ROBNAS_SCRATCH"}
        environment |= {"OMP_NUM_THREADS": str(self.threads), "MKL_NUM_THREADS": str(self.threads), "PYTHONUNBUFFERED": "1"}
        study = self._courier.relative if self._courier else str(self.folder.parent)
        token = str(self._token.resolve())
        return Order(self.runner, tuple(self.preload), study, str(Path.cwd()), token, self.store, self.every, environment, LAUNCHERS)

    def _started(self, worker: _Worker, ref: Any) -> None:
        try:
            facts = self._ray.get(ref)
        except self._ray.exceptions.RayError as error:  # the node or the process died; the next one may come up
            self._kill(worker)
            self._refused += 1
            if self._refused > LOST:
                raise UserError(f"no worker of the Ray cluster begins: {' '.join(str(error).split())[:300]}") from error
            return
        worker.node, wrong = facts["node"], facts.get("error")
        if facts["version"] != __version__:
            wrong = f"has robnas {facts['version']}, this machine {__version__}"
        if not wrong:
            self._idle.append(worker)
            self._refused = 0
            return
        self._kill(worker)
        self._refused += 1
        if self._refused > LOST or not (self._busy or self._idle or self._starting):
            raise UserError(f"no worker of the Ray cluster can work: node {facts['host']}: {wrong}")
        _say(f"node {facts['host']}: {wrong}")

    def _kill(self, worker: _Worker) -> None:
        with suppress(Exception):
            self._ray.kill(worker.actor, no_restart=True)


def _name(argv: Sequence[str]) -> str:
    return identity_of({"argv": [f"{word} " for word in argv]})[:12]


def _seen(folder: Path | None) -> None:
    """A network's file system remembers for a while that there was nothing."""
    end = time.monotonic() + PATIENCE
    while folder is not None and folder.parent.exists() and not (folder / "job.json").exists() and time.monotonic() < end:
        time.sleep(0.5)


def _say(text: str) -> None:
    print(f"robnas: {text}", file=sys.stderr, flush=True)
