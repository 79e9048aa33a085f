"""One config over another.

Mappings merge by key, so attacks and probes, which are named blocks, merge by name; everything else is replaced. Where a block names
another class, the arguments of the old class go with it. `callbacks+: […]` appends. A named block set to null is taken out.
"""

from copy import deepcopy
from typing import Any

from robnas.configuration.naming import Path

NAMED = ("attacks", "defences", "probes")
"""Top-level keys whose blocks have names."""


def merge(base: Any, over: Any, path: Path = ()) -> Any:
    """`over` laid on `base`; neither is changed. Both have their classes as import paths."""
    if not isinstance(over, dict):
        return deepcopy(over)
    if not isinstance(base, dict) or _names_another_class(base, over):
        base = {}
    out = deepcopy(base)
    for key, value in over.items():
        if str(key).endswith("+"):
            key = key[:-1]
            out[key] = [*_as_list(out.get(key)), *_as_list(deepcopy(value))]
        elif value is None and len(path) == 1 and path[0] in NAMED:
            out.pop(key, None)
        else:
            out[key] = merge(out.get(key), value, (*path, key))
    return out


def without_appends(config: Any) -> Any:
    """The config without its `key+` entries, for laying it on a second time."""
    if not isinstance(config, dict):
        return config
    return {key: without_appends(value) for key, value in config.items() if not str(key).endswith("+")}


def _names_another_class(base: dict[str, Any], over: dict[str, Any]) -> bool:
    return "class_path" in over and over["class_path"] != base.get("class_path", over["class_path"])


def _as_list(value: Any) -> list[Any]:
    return [] if value is None else value if isinstance(value, list) else [value]
