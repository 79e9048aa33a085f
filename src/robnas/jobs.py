"""A job: where it lies, whether it is finished, who works in it. Needs no torch; what makes two jobs one is in `identity`.

The same command finds its own folder again, `runs/<experiment>/<first 12 digits of the identity>/`: finished, or to be gone on with.
"""

import json
import os
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from robnas import atomic, locks

State = Literal["new", "unfinished", "finished"]

WRITTEN = (
    *("config.yaml", "job.json", "metrics.csv", "evaluation.csv", "results.jsonl", "outcomes", "checkpoints", "genotype.yaml", "figures"),
    *("wandb", "log.txt", "children", "genotypes.jsonl", "membership.npz", "poison.npz", "trigger.npz", "queries.npz", "queries.part"),
)
"""What robnas writes into a job's folder; starting anew removes these and nothing else."""

ANSWERED = ("queries.npz", "queries.part")
"""What a victim has answered to a thief: it stays where a job begins again that had no checkpoint yet, so that nothing is asked twice."""

CHILDREN = "-children"
"""How the experiment's name ends in which a search has its children trained."""


@dataclass(frozen=True)
class Job:
    """A job and its folder. root: the folder of all experiments; place: of a folder that somebody copied or renamed."""

    identity: str
    experiment: str
    root: Path = Path("runs")
    place: Path | None = None

    @property
    def name(self) -> str:
        """The first 12 digits, which name the folder."""
        return self.identity[:12]

    @property
    def folder(self) -> Path:
        """`runs/<experiment>/<name>`, unless it lies elsewhere."""
        return self.place or self.root / self.experiment / self.name

    @property
    def facts(self) -> dict[str, Any]:
        """What job.json says; empty where there is none, or none that can be read."""
        return _read(self.folder / "job.json") or {}

    def state(self) -> State:
        """Unfinished: it was started and did not come to its end; or it runs."""
        if not self.facts:
            return "new"
        return "finished" if self.facts.get("state") == "finished" else "unfinished"

    def enter(self) -> None:
        """Whoever runs commands in this process may ask `entered` where the last of them worked."""
        global _entered
        _entered = self

    def start(self, **facts: Any) -> None:
        """Make the folder and note what is known. A job that goes on keeps its first note's `created`."""
        self.folder.mkdir(parents=True, exist_ok=True)
        now = {"identity": self.identity, "experiment": self.experiment, "state": "unfinished", "created": _now()}
        self._note(now | {k: v for k, v in self.facts.items() if k == "created"} | facts)

    def mark_finished(self, **facts: Any) -> None:
        """From now on the same command has nothing to do, and `latest` is this job."""
        self._note(self.facts | {"state": "finished", "finished": _now()} | facts)
        self.point()

    def restore(self, facts: Mapping[str, Any]) -> None:
        """The note as it was before `start`."""
        self._note(dict(facts))

    def point(self) -> None:
        """`latest` is this job from now on; called where there is something to be had in its folder."""
        latest, new = self.folder.parent / "latest", self.folder.parent / f".latest.{os.getpid()}"
        if latest.is_symlink() or not latest.exists():  # never in place of a folder that somebody called so
            with suppress(OSError):  # a file system without symbolic links
                new.unlink(missing_ok=True)
                new.symlink_to(self.folder.name)
                new.replace(latest)

    def abandon(self) -> None:
        """Let go of a folder in which nothing came to be, and leave none behind; what somebody else put there stays."""
        self.clear()
        (self.folder / ".lock").unlink(missing_ok=True)
        self.release()
        with suppress(OSError):  # not empty
            self.folder.rmdir()
            self.folder.parent.rmdir()

    def clear(self, keep: Iterable[str] = ()) -> None:
        """Remove what robnas wrote into the folder, and nothing that somebody else put there, nor `keep`."""
        for name in ("job.json", *(name for name in WRITTEN if name not in keep)):  # first the note: one cut short leaves a new job
            path = self.folder / name
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Nobody else works in the folder meanwhile. Raises UserError where somebody does."""
        self.acquire()
        try:
            yield
        finally:
            self.release()

    def acquire(self) -> None:
        """As `locked`, until `release` or the end of this process, however it ends. Twice is once."""
        locks.acquire(self.folder)

    def release(self) -> None:
        """Others may work in the folder again."""
        locks.release(self.folder)

    def _note(self, facts: dict[str, Any]) -> None:
        atomic.write(self.folder / "job.json", json.dumps(facts, indent=2, ensure_ascii=False) + "\n")


_entered: Job | None = None


def entered() -> Job | None:
    """The job that a command of this process worked in last, be it that it was finished already."""
    return _entered


def leave() -> None:
    """The next command begins."""
    global _entered
    _entered = None


def job_at(folder: str | Path) -> Job | None:
    """The job whose folder this is, also by way of `latest`; None where it is none."""
    if not str(folder):
        return None
    try:
        path = Path(folder).expanduser().resolve()
        facts = _read(path / "job.json")
    except (OSError, ValueError, RuntimeError):  # a text that can be no path
        return None
    if not facts or "identity" not in facts:
        return None
    job = Job(facts["identity"], path.parent.name, path.parents[1])
    return job if job.folder == path else replace(job, experiment=str(facts.get("experiment") or job.experiment), place=path)


def find(root: str | Path = "runs") -> list[Job]:
    """Every job below `root`, the newest first."""
    folders = [p.parent for p in Path(root).glob("*/*/job.json") if not p.parent.is_symlink()]
    jobs = [Job(job.identity, p.parent.name, Path(root)) for p in folders if (job := job_at(p)) is not None and job.name == p.name]
    return sorted(jobs, key=lambda job: (job.facts.get("created", ""), job.name), reverse=True)


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S%z")


def _read(path: Path) -> dict[str, Any] | None:
    try:
        content = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None
