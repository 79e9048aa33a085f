"""What a job builds on beside its command's words: classes that are not ours, and files that its configs name. Nothing is imported."""

import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from robnas import plugins
from robnas.configuration import naming
from robnas.identity import OURS, texts
from robnas.source import source_digest

_FILE_AND_CLASS = re.compile(r"([^\n:]+\.py):\w+")
"""A model of the user's own: `net.py:Net`."""


def classes(config: Mapping[str, Any]) -> dict[str, str]:
    """Class paths of others that a config names, and plug-ins by their names → digest of their package's source."""
    look_here()
    found = {}
    for name, group in sorted(_named(config, ()), key=str):
        path = name if "." in name else _plugin(name, group)
        module = path.partition(".")[0]
        if module and module not in OURS:
            try:
                digest = source_digest(module)
            except (ImportError, ValueError):
                continue
            if digest:
                found[path] = digest
    return found


def files(config: Any) -> Iterator[Path]:
    """That the config's values name."""
    return (path for text in texts(config) if (path := file_of(text)) is not None)


def file_of(value: str) -> Path | None:
    """The file that a text means, be it of a class."""
    if match := _FILE_AND_CLASS.fullmatch(value):
        value = match[1]
    try:
        return Path(value) if Path(value).suffix and Path(value).is_file() else None
    except (OSError, ValueError):  # no path at all
        return None


def look_here() -> None:
    """A class may lie in a file of the current folder, which comes last in the search, as when the job looks for it."""
    here = str(Path.cwd())
    if here not in sys.path and "" not in sys.path:
        sys.path.append(here)


def _named(value: Any, path: naming.Path) -> Iterator[tuple[str, str | None]]:
    """(class as the config has it, group of plug-ins that stands there)."""
    group = naming.group_at(path)
    if isinstance(value, str):
        if group is not None or path[-1:] == ("class_path",):
            yield value, group or naming.group_at(path[:-1])
        elif path == ("model", "init_args", "network"):
            yield value, "robnas.models"
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _named(inner, (*path, str(key)))
    elif isinstance(value, list | tuple):
        for i, inner in enumerate(value):
            yield from _named(inner, (*path, i))


def _plugin(name: str, group: str | None) -> str:
    """Class path of another's plug-in, "" of our own and of what is none."""
    found = {p.name.lower(): p for p in plugins.declared(group) if not p.built_in and not p.broken} if group else {}
    plugin = found.get(name.lower())
    return plugin.class_path if plugin is not None else ""
