"""A job: what it is (a hash of what affects its result), where it lies, whether it is finished. Needs no torch.

The same command finds its own folder again, `runs/<experiment>/<first 12 digits of the identity>/`: finished, or to be gone on with.
"""

import json
import os
import shutil
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from hashlib import blake2b
from importlib.metadata import packages_distributions, version
from pathlib import Path
from typing import Any, Literal

from robnas import atomic, locks

State = Literal["new", "unfinished", "finished"]

IGNORED: dict[str, str] = {
    "trainer.accelerator": "where it runs",
    "trainer.devices": "where it runs: batch_size is that of all ranks together",
    "trainer.strategy": "where it runs",
    "trainer.num_nodes": "where it runs",
    "trainer.plugins": "where it runs",
    "trainer.benchmark": "how fast it runs",
    "trainer.deterministic": "how fast it runs",
    "trainer.logger": "who watches",
    "trainer.log_every_n_steps": "who watches",
    "trainer.enable_*": "who watches: progress, summary, checkpoints on or off",
    "trainer.model_registry": "who watches",
    "trainer.profiler": "who watches",
    "trainer.save_every_n_steps": "how much a kill costs",
    "trainer.detect_anomaly": "who watches",
    "model.init_args.draw_every": "who watches",
    "trainer.num_sanity_val_steps": "who watches",
    "trainer.inference_mode": "evaluation gives the same numbers",
    "trainer.use_distributed_sampler": "the data's own batches do not depend on ranks",
    "trainer.default_root_dir": "where results go",
    "data.init_args.num_workers": "how fast it runs",
    "model.init_args.evaluator.init_args.workers": "how fast it runs",
    "model.init_args.evaluator.init_args.keep_weights": "what is kept",
    "data.init_args.memory": "how fast it runs: images decoded once or as needed are the same",
    "data.init_args.root": "where the images lie; which images they are counts by the data's fingerprint",
    "data.init_args.download": "how the images got there",
    "runs": "where results go",
    "experiment": "a label",
    "scale": "already part of every class's arguments",
    "wandb": "who watches",
    "overwrite": "whether to start anew, not what",
    "ckpt_path": "where to go on, not what",
    "config": "the files it was read from",
}
"""Key of a resolved configuration (dotted, `*` allowed) → why it does not affect the result. Everything else does."""

WRITTEN = (
    *("config.yaml", "job.json", "metrics.csv", "evaluation.csv", "results.jsonl", "outcomes", "checkpoints", "genotype.yaml", "figures"),
    *("wandb", "log.txt", "children", "genotypes.jsonl", "membership.npz", "poison.npz", "trigger.npz", "queries.npz", "queries.part"),
)
"""What robnas writes into a job's folder; starting anew removes these and nothing else."""

ANSWERED = ("queries.npz", "queries.part")
"""What a victim has answered to a thief: it stays where a job begins again that had no checkpoint yet, so that nothing is asked twice."""

CHILDREN = "-children"
"""How the experiment's name ends in which a search has its children trained."""

_OURS = ("robnas", "torch", "torchvision", "torchmetrics", "lightning")
_STANDARD = sys.stdlib_module_names | {"builtins"}


def identity(config: Mapping[str, Any], upstream: Iterable[str] = (), foreign: Mapping[str, str] | None = None) -> str:
    """40 hexadecimal digits (BLAKE2b): equal exactly where the result is.

    Args:
        config: the resolved configuration, in plain values; `IGNORED` keys do not count. A value that is a run folder counts by that
            job's identity, one that is a file by its content, and a class of another package also by version and source.
        upstream: identities of further jobs it builds on.
        foreign: name → digest of anything else that it depends on, such as the data's fingerprint.
    """
    what = {"config": _counted(config, ""), "upstream": sorted(upstream), "foreign": dict(foreign or {})}
    text = json.dumps(what, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return blake2b(text.encode(), digest_size=20).hexdigest()


def upstream(config: Any) -> dict[str, str]:
    """The run folders that a configuration names → their jobs' identities."""
    found = {}
    for text in _texts(config):
        if (job := job_at(text)) is not None:
            found[text] = job.identity
    return found


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


def file_digest(path: Path) -> str:
    """40 hexadecimal digits of a file's content. Raises OSError."""
    with path.open("rb") as file:
        digest = blake2b(digest_size=20)
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S%z")


def _read(path: Path) -> dict[str, Any] | None:
    try:
        content = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for v in value.values():
            yield from _texts(v)
    elif isinstance(value, (list, tuple)):
        for v in value:
            yield from _texts(v)


def _counted(value: Any, key: str) -> Any:
    """What of a value counts, in plain JSON. key: dotted. None and what is empty count as not given."""
    if isinstance(value, Mapping):
        inner = {str(k): (f"{key}.{k}" if key else str(k), v) for k, v in value.items() if v is not None}
        out = {k: _counted(v, path) for k, (path, v) in inner.items() if not any(fnmatchcase(path, pattern) for pattern in IGNORED)}
        out = {k: v for k, v in out.items() if v not in ({}, [])}
        if isinstance(class_path := value.get("class_path"), str) and (source := _foreign_source(class_path)):
            out["source"] = source
        return out
    if isinstance(value, (list, tuple)):
        return [_counted(v, f"{key}.{i}") for i, v in enumerate(value)]
    if isinstance(value, str) or (isinstance(value, Path) and (value := str(value))):
        return _content(value)
    if isinstance(value, (bool, int, float)):
        return value
    raise TypeError(f"{key}: a configuration has plain values, not {type(value).__name__}")


def _content(text: str) -> Any:
    """A text that names a job or a file stands for what is there."""
    if (job := job_at(text)) is not None:
        return {"job": job.identity}
    looks_like_a_path = 0 < len(text) < 1024 and "\n" not in text and (os.sep in text or Path(text).suffix)
    try:
        if looks_like_a_path and (path := Path(text).expanduser()).is_file():
            return {"file": file_digest(path)}
    except OSError:
        pass
    return text


def _foreign_source(class_path: str) -> str | None:
    """Distribution, version and digest of the source of a class that is not ours; None where it is, or where there is no such module."""
    module = class_path.partition(".")[0]
    if module in _OURS or module in _STANDARD:
        return None
    from robnas.source import source_digest

    try:
        digest = source_digest(module)
    except (ImportError, ValueError):
        return None
    provided = sorted(f"{name} {version(name)}" for name in set(packages_distributions().get(module, ())))
    return " ".join([*provided, digest]) if digest else None
