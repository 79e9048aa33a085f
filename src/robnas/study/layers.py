"""What the configs of a job say before any class is looked at, the later over the earlier."""

from collections.abc import Iterable, Mapping
from functools import cache, lru_cache
from typing import Any

from robnas.configuration import flags
from robnas.configuration.merging import merge
from robnas.study.contents import content

OF_THE_RUN = ("data", "model", "seed_everything", "protocol", "runs", "wandb")
"""Keys of an overlay that are no flags of an evaluation: the run that it is about has them, or the study says them."""


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
        out |= _dotted({key: value for key, value in content(name).items() if key not in OF_THE_RUN})
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
        value: Any = content(name)
        for key in path:
            value = value.get(key) if isinstance(value, Mapping) else None
        if isinstance(value, Mapping) and isinstance(found, Mapping) and value.get("class_path") in (None, found.get("class_path")):
            value = {**found, **value, "init_args": {**(found.get("init_args") or {}), **(value.get("init_args") or {})}}
        found = found if value is None else value
    return found


@lru_cache(maxsize=16384)
def asked(words: tuple[str, ...]) -> flags.Arguments:
    """The words behind a verb. Not to be changed."""
    return flags.parse(words)


@cache
def laid(configs: tuple[str, ...]) -> dict[str, Any]:
    """Configs as one. Not to be changed."""
    config: dict[str, Any] = {}
    for name in configs:
        config = merge(config, content(name))
    return config


def merged(asked: flags.Arguments) -> dict[str, Any]:
    """Configs and flags of a command as one config, short names of classes left as they are."""
    config = laid(tuple(asked.configs))
    for name, value in asked.edits:
        config = merge(config, _layer(config, name.split("."), value))
    return config


def said(config: Any, name: str, missing: Any = None) -> Any:
    """What a config says under the name of a flag: `attacks.pgd.steps` is an argument of the block that stands there."""
    for part in name.split("."):
        if isinstance(config, Mapping) and part not in ("class_path", "init_args") and isinstance(config.get("init_args"), Mapping):
            config = config["init_args"]
        if not isinstance(config, Mapping) or part not in config:
            return missing
        config = config[part]
    return config


def forget() -> None:
    """Configs may have changed since they were read."""
    for remembered in (content, laid):
        remembered.cache_clear()


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
