"""What makes two jobs one: a hash of what affects their result. Needs no torch."""

import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from hashlib import blake2b
from importlib.metadata import packages_distributions, version
from pathlib import Path
from typing import Any

from robnas.jobs import job_at

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

OURS = ("robnas", "torch", "torchvision", "torchmetrics", "lightning")
_STANDARD = sys.stdlib_module_names | {"builtins"}


def identity_of(config: Mapping[str, Any], upstream: Iterable[str] = (), foreign: Mapping[str, str] | None = None) -> str:
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


def upstream_of(config: Any) -> dict[str, str]:
    """The run folders that a configuration names → their jobs' identities."""
    found = {}
    for text in texts(config):
        if (job := job_at(text)) is not None:
            found[text] = job.identity
    return found


def file_digest(path: Path) -> str:
    """40 hexadecimal digits of a file's content. Raises OSError."""
    with path.open("rb") as file:
        digest = blake2b(digest_size=20)
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def texts(value: Any) -> Iterator[str]:
    """All texts within plain values."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for v in value.values():
            yield from texts(v)
    elif isinstance(value, (list, tuple)):
        for v in value:
            yield from texts(v)


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
    if module in OURS or module in _STANDARD:
        return None
    from robnas.source import source_digest

    try:
        digest = source_digest(module)
    except (ImportError, ValueError):
        return None
    provided = sorted(f"{name} {version(name)}" for name in set(packages_distributions().get(module, ())))
    return " ".join([*provided, digest]) if digest else None
