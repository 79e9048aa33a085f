"""Short names → import paths, by where they stand in a config: `searcher: {class_path: darts}` is robnas.search.darts.DARTS."""

from collections.abc import Callable
from importlib import import_module
from typing import Any

from robnas import plugins
from robnas.errors import UserError, unknown

Path = tuple[str | int, ...]
"""Where a value stands: ("attacks", "pgd_most", "init_args")."""

_BY_PATH: dict[Path, str] = {("model",): "robnas.tasks", ("data",): "robnas.data"}
_BY_KEY = {
    "searcher": "robnas.searchers",
    "evaluator": "robnas.evaluators",
    "probe": "robnas.probes",
    "pool_data": "robnas.data",
    "attack": "robnas.attacks",
    "valid_attack": "robnas.attacks",
}
_BY_BLOCK = {"attacks": "robnas.attacks", "defences": "robnas.defences", "probes": "robnas.probes"}
_BY_HOLDER = {"members": "robnas.attacks"}  # of an ensemble: {name: block}
BLOCK_KEYS = {"class_path", "init_args", "dict_kwargs"}


def group_at(path: Path) -> str | None:
    """The plug-in group whose short names are understood there; "robnas.tasks" for the model; None where there is none."""
    if path in _BY_PATH:
        return _BY_PATH[path]
    if len(path) == 2 and path[0] in _BY_BLOCK:
        return _BY_BLOCK[str(path[0])]
    if len(path) > 2 and path[-2] in _BY_HOLDER:
        return _BY_HOLDER[str(path[-2])]
    return _BY_KEY.get(str(path[-1])) if path else None


def is_block(value: Any, path: Path) -> bool:
    """Whether a value stands for an object: it names a class, or stands where only an object can stand."""
    return isinstance(value, dict) and ("class_path" in value or (group_at(path) is not None and bool(BLOCK_KEYS & set(value))))


def expand(value: Any, path: Path = ()) -> Any:
    """Every class written out by its import path, `searcher: darts` and `data: digits` as blocks. Raises UserError for an unknown name."""
    group = group_at(path)
    if isinstance(value, str) and group is not None:
        return {"class_path": import_path(value, group, path)}
    if isinstance(value, list):
        return [expand(item, (*path, i)) for i, item in enumerate(value)]
    if not isinstance(value, dict):
        return value
    out = {key: expand(item, (*path, key)) for key, item in value.items()}
    if isinstance(out.get("class_path"), str):
        out["class_path"] = import_path(out["class_path"], group, path)
    return out


def import_path(name: str, group: str | None, path: Path = ()) -> str:
    """The class's own import path, so that one class has one name however a config spells it. Imports the class."""
    if "." not in name:
        if group is None:  # Lightning's own callbacks and loggers: jsonargparse knows them by their names
            return name
        cls = task(name) if group == "robnas.tasks" else plugins.load(group, name)
    else:
        cls = plugins.resolve(name)
    if not isinstance(cls, type):
        return name  # a function that returns an object is allowed too
    return f"{cls.__module__}.{cls.__qualname__}"


def task(name: str) -> Any:
    """The task of that name, whatever its case."""
    tasks = import_module("robnas.tasks")
    by_case = {known.lower(): known for known in tasks.__all__}
    if name.lower() not in by_case:
        raise unknown("model", name, by_case.values())
    return getattr(tasks, by_case[name.lower()])


def blocks(config: dict[str, Any]) -> list[tuple[Path, dict[str, Any]]]:
    """Every block that names a class, outermost first."""
    found: list[tuple[Path, dict[str, Any]]] = []

    def walk(value: Any, path: Path) -> None:
        if isinstance(value, dict):
            if isinstance(value.get("class_path"), str):
                found.append((path, value))
            for key, item in value.items():
                walk(item, (*path, key))
        elif isinstance(value, list):
            for i, item in enumerate(value):
                walk(item, (*path, i))

    walk(config, ())
    return found


def dotted(path: Path) -> str:
    """How people write the place: "model.searcher", "attacks.pgd_most"; `init_args` is left out as flags may leave it out."""
    return ".".join(str(part) for part in path if part != "init_args")


def class_of(block: dict[str, Any], path: Path) -> Callable[..., Any] | None:
    """The class that a block names by import path; None for Lightning's own short names."""
    name = block["class_path"]
    if "." not in name:
        return None
    cls = plugins.resolve(name)
    if not callable(cls):
        raise UserError(f"{dotted(path)}: class_path {name!r} is not a class")
    return cls  # type: ignore[no-any-return]
