"""A warm process on some node of a Ray cluster, which runs one robnas command after another. Ray itself is not imported here."""

import importlib
import os
import socket
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from shutil import rmtree
from typing import Any

from robnas import jobs, locks
from robnas._version import __version__
from robnas.errors import UserError
from robnas.study import worker
from robnas.study.replica import Replica
from robnas.study.store import TRIES, Store

WORKSPACES = "robnas-ray"
"""Folder below the node's temporary one (`ROBNAS_SCRATCH`, else the system's) in which its workers keep what they fetch from a store."""

KEPT = 16
"""Run folders that a worker keeps from one job to the next, at least: those that it used last."""


@dataclass(frozen=True)
class Order:
    """What a worker has to know before its first job.

    Args:
        runner, preload: as the pool's.
        folder: of the study, as the commands name it. here: the folder that relative paths start from.
        token: a file that every node sees where `folder` is shared.
        store: URI; None: `folder` is shared.
        every: seconds between two pushes of a job that runs.
        environment: of the jobs; what begins with one of `without` is taken out of it.
    """

    runner: str
    preload: tuple[str, ...]
    folder: str
    here: str
    token: str
    store: str | None = None
    every: float = 120.0
    environment: Mapping[str, str] = field(default_factory=dict)
    without: tuple[str, ...] = ()


class RayWorker:
    """One call at a time, in the process's main thread."""

    def ready(self, order: Order, devices: Sequence[str] = ()) -> dict[str, Any]:
        """Import what is slow and find a place to work → {"version", "host"}, and "error" where the node is of no use.

        devices: CUDA devices that Ray has lent; the jobs see these and no others.
        """
        for name in [name for name in os.environ if name.startswith(order.without)]:
            del os.environ[name]
        os.environ.update(order.environment)
        os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(devices)
        locks.patient = True  # nobody is there who could be told to wait
        facts = {"version": __version__, "host": socket.gethostname()}
        self.order, self.home = order, order.here
        self.replica: Replica | None = None
        self.recent: list[str] = []
        try:
            if order.store is not None:
                store, self.home = Store(order.store), str(_workspace())
                self.replica = Replica(store, Path(self.home) / order.folder)
            elif not Path(order.token).is_file():
                raise UserError(f"does not see {Path(order.token).parent}: a shared file system is needed there, or --store URI")
            os.chdir(self.home)
            sys.path[:0] = [path for path in (self.home,) if path not in sys.path]
            for module in order.preload:
                importlib.import_module(module)
            module, _, name = order.runner.partition(":")
            self.function = getattr(importlib.import_module(module), name)
        except (UserError, OSError) as error:
            return {**facts, "error": str(error)}
        except (ImportError, AttributeError):
            return {**facts, "error": traceback.format_exc()}
        return facts

    def run(
        self, command: str, argv: list[str], needs: Sequence[str], files: Mapping[str, bytes], log: str, attempt: int
    ) -> dict[str, Any]:
        """One job → {"status", "folder", "folders": run folders that have changed, "said": what it printed, None where `log` is shared}.

        Args:
            command: its name in the store. argv: without "robnas". needs: `<experiment>/<job>`. files: what argv names beside run folders.
            log: where what it prints goes, if the study's folder is shared. attempt: from 1.
        """
        jobs.leave()
        if self.replica is None:
            status = worker.run(self.function, argv, log)
            return {"status": status, "folder": _entered(), "folders": [], "said": None}
        own = Path(self.home) / "log.txt"
        own.unlink(missing_ok=True)
        try:
            self._prepare(self.replica, command, needs, files)
            with _Pushing(self.replica, command, self.order.every, attempt) as pushing:
                status = worker.run(self.function, argv, str(own))
            folder = _entered()
            folders = pushing.last()
        except Exception:  # of the store; the job is tried again, here or elsewhere
            with own.open("a") as file:
                traceback.print_exc(file=file)
            return {"status": 1, "folder": None, "folders": [], "said": own.read_bytes()}
        self._tidy(self.replica, [*needs, *folders])
        return {"status": status, "folder": folder, "folders": folders, "said": own.read_bytes()}

    def leave(self) -> None:
        """Nothing stays on the node."""
        if self.replica is not None:
            os.chdir("/")
            rmtree(self.home, ignore_errors=True)

    def _prepare(self, replica: Replica, command: str, needs: Sequence[str], files: Mapping[str, bytes]) -> None:
        for name in dict.fromkeys([*needs, *replica.store.known(command)]):
            _again(lambda name=name: replica.fetch(name))
        for name, content in files.items():
            path = Path(self.home) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)

    def _tidy(self, replica: Replica, used: Sequence[str]) -> None:
        self.recent = [name for name in self.recent if name not in used] + list(dict.fromkeys(used))
        while len(self.recent) > max(KEPT, len(used)):
            replica.forget(self.recent.pop(0))


class Actor(RayWorker):
    """What of it only Ray knows."""

    def begin(self, order: Order) -> dict[str, Any]:
        """As `ready`, and "node", Ray's name of it."""
        context = importlib.import_module("ray").get_runtime_context()
        return self.ready(order, context.get_accelerator_ids().get("GPU", [])) | {"node": context.get_node_id()}


class _Pushing:
    """Pushes what a job makes while it runs, so that a node that is lost takes little with it; and once more at its end."""

    def __init__(self, replica: Replica, command: str, every: float, attempt: int) -> None:
        self.replica, self.command, self.every, self.attempt = replica, command, every, attempt
        self.folders: set[str] = set()
        self.said: set[str] = set()
        self.end = threading.Event()
        self.thread = threading.Thread(target=self._meanwhile, daemon=True)

    def __enter__(self) -> "_Pushing":
        self.replica.begin()
        self.thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.end.set()
        self.thread.join()

    def last(self) -> list[str]:
        """The job has ended → the run folders that it changed. Raises what the store raises, after some tries."""
        _again(self._push)
        self.replica.begin()
        return sorted(self.folders)

    def _meanwhile(self) -> None:
        while not self.end.wait(self.every):
            with suppress(Exception):  # the next push, or the last one, will do
                self._push()

    def _push(self) -> None:
        for name in self.replica.names():
            if self.replica.push(name, self.attempt):
                self.folders.add(name)
        if self.folders - self.said:
            self.replica.store.remember(self.command, sorted(self.folders))
            self.said = set(self.folders)


def _again(action: Any) -> None:
    """Networks fail now and then."""
    for attempt in range(TRIES):
        try:
            action()
            return
        except OSError:
            if attempt + 1 == TRIES:
                raise
            time.sleep(2.0**attempt)


def _entered() -> str | None:
    return str(at.folder) if (at := jobs.entered()) else None


def _workspace() -> Path:
    """A folder of this process's own. Those of workers that were killed make way."""
    parent = Path(os.environ.get("ROBNAS_SCRATCH") or tempfile.gettempdir()) / f"{WORKSPACES}-{os.getuid()}"
    parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    for old in parent.iterdir():
        with suppress(ValueError, OSError):
            if not Path(f"/proc/{int(old.name.partition('-')[0])}").exists() and Path("/proc/self").exists():
                rmtree(old, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix=f"{os.getpid()}-", dir=parent))
