"""What a number came from: the run, the plug-in with its arguments, the versions. Torch-free."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping
from functools import cache
from hashlib import blake2b
from importlib import metadata
from pathlib import Path
from typing import Any

from robnas.results import ORDER, Rows, plain


def outcomes_name(name: str, params: Mapping[str, Any], *others: Any) -> str:
    """A file name for outcomes: `name` for people, the rest so that other parameters, or other `others`, make another file."""
    mark = blake2b(json.dumps([plain(params), *others], sort_keys=True, default=str).encode(), digest_size=4).hexdigest()
    return f"{name}-{mark}"


def of_trainer(trainer: Any) -> tuple[Rows, dict[str, Any]]:
    """Where a trainer's rows go (`trainer.rows`, else in its root folder), and their origin (`trainer.provenance`, else little).

    A model whose training was attacked, or defended, is called so: "resnet + badnets".
    """
    rows = getattr(trainer, "rows", None) or Rows(Path(trainer.default_root_dir) / "results.jsonl")
    data, module = getattr(trainer, "datamodule", None), getattr(trainer, "lightning_module", None)
    origin = {
        "dataset": getattr(data, "name", None) or (type(data).__name__.lower() if data is not None else None),
        "model": type(module).__name__ if module is not None else None,
        "versions": versions(),
    }
    origin |= {k: v for k, v in (getattr(trainer, "provenance", None) or {}).items() if k in ORDER}
    done = [name for mark in ("attacked", "defended") for name in getattr(module, mark, {})]  # to its training
    origin["model"] = " + ".join([str(origin["model"]), *done]) if done else origin["model"]
    return rows, origin


def init_arguments(plugin: object, base: type) -> dict[str, Any]:
    """What a plug-in was built with: the arguments of `__init__` of its class and of those between it and `base`.

    Each is kept as an attribute of its own name, as scikit-learn's estimators do. Raises TypeError where one is not.
    """
    found: dict[str, Any] = {}
    for cls in (c for c in type(plugin).__mro__ if issubclass(c, base) and "__init__" in vars(c)):
        for name, p in list(inspect.signature(cls.__init__).parameters.items())[1:]:
            if p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD) or name in found:
                continue
            if not hasattr(plugin, name):
                raise TypeError(f"{cls.__name__}: keep the argument {name!r} as an attribute of that name; the results name it")
            found[name] = getattr(plugin, name)
    return found


@cache
def _versions() -> tuple[tuple[str, str], ...]:
    found = []
    for name in ("robnas", "torch", "lightning", "numpy"):
        try:
            found.append((name, metadata.version(name)))
        except metadata.PackageNotFoundError:
            continue
    return tuple(found)


def versions() -> dict[str, str]:
    """Installed versions of robnas and of what its numbers depend on, nothing imported."""
    return dict(_versions())
