"""What the configs of a job say before any class is looked at, the later over the earlier; and flags in the words of a command."""

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

from robnas.configuration import files, flags, reading
from robnas.configuration.merging import merge


def written(flags: Mapping[str, Any]) -> list[str]:
    """As words of a command."""
    return [f"--{name}={text(value)}" for name, value in flags.items()]


def text(value: Any) -> str:
    """A flag's value as people write it, and as `reading.read_value` reads it."""
    if isinstance(value, bool) or value is None:
        return "null" if value is None else str(value).lower()
    if isinstance(value, list | tuple):
        return f"[{','.join(text(item) for item in value)}]"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {text(item)}" for key, item in value.items()) + "}"
    return str(value)


def filled(words: Iterable[str], fills: Mapping[str, str]) -> list[str]:
    """The words with `{run}` and `{model}` replaced."""
    out = []
    for word in words:
        for mark, value in fills.items():
            word = word.replace(mark, value)
        out.append(word)
    return out


def data_flags(data: str, configs: Iterable[str]) -> dict[str, Any]:
    """For another data set than the configs name: its class, and what they say of theirs, which holds for it too (batches, validation)."""
    own = dict(says(configs, "data") or {})
    if not data or not own or str(own.get("class_path", "")).lower() == data.lower():
        return {}
    return {"data": data, **{f"data.{name}": value for name, value in (own.get("init_args") or {}).items()}}


def dataset_of(configs: Iterable[str]) -> str:
    """The data set that configs name, as rows call it."""
    return str((says(configs, "data") or {}).get("class_path", "")).rpartition(".")[2].lower()


def overlaid(overlays: Iterable[str]) -> dict[str, Any]:
    """What overlays say but for data, as flags: model and data of an evaluation are those of the run."""
    out: dict[str, Any] = {}
    for name in overlays:
        out |= _dotted({key: value for key, value in _content(name).items() if key not in ("data", "model")})
    return out


def _dotted(content: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    out: dict[str, Any] = {}
    for key, value in content.items():
        out |= _dotted(value, f"{prefix}{key}.") if isinstance(value, Mapping) and value else {f"{prefix}{key}": value}
    return out


def says(configs: Iterable[str], *path: str) -> Any:
    """What the last of the configs that says something says at this place; of a block another class than before starts anew."""
    found: Any = None
    for name in configs:
        value: Any = _content(name)
        for key in path:
            value = value.get(key) if isinstance(value, Mapping) else None
        if isinstance(value, Mapping) and isinstance(found, Mapping) and value.get("class_path") in (None, found.get("class_path")):
            value = {**found, **value, "init_args": {**(found.get("init_args") or {}), **(value.get("init_args") or {})}}
        found = found if value is None else value
    return found


def merged(asked: flags.Arguments) -> dict[str, Any]:
    """Configs and flags of a command as one config, short names of classes left as they are."""
    config: dict[str, Any] = {}
    for name in asked.configs:
        config = merge(config, _content(name))
    for name, value in asked.edits:
        config = merge(config, _layer(config, name.split("."), value))
    return config


def _layer(here: Any, path: list[str], value: Any) -> Any:
    """A flag as a config: `attacks.pgd.steps` is about the arguments of the block that stands there."""
    if not path:
        return value
    inner = here.get(path[0]) if isinstance(here, dict) else None
    if isinstance(here, dict) and "class_path" in here and path[0] not in ("class_path", "init_args"):
        return {"init_args": _layer(here.get("init_args"), path, value)}
    if isinstance(inner, dict) and "class_path" in inner and len(path) == 1 and isinstance(value, str):
        return {path[0]: {"class_path": value}}
    if path[0] in ("model", "data") and len(path) == 1:
        return {path[0]: {"class_path": value}}
    if len(path) == 2 and path[0] in ("attacks", "probes", "defences") and isinstance(value, str):
        return {path[0]: {path[1]: {"class_path": value}}}
    return {path[0]: _layer(inner, path[1:], value)}


@cache
def _content(name: str) -> dict[str, Any]:
    return reading.read_file(files.find(name))
