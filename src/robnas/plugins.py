"""Entry points → named classes, without importing torch: what is there, who provides it, and what of it is broken.

A package adds a class of its own by one line, `[project.entry-points."robnas.attacks"] fgsm = "robnas_fgsm:FGSM"`;
robnas declares its own in the same way. A plug-in that cannot be imported, or that takes a name already given, is
recorded and shown by `robnas list --check`; whoever does not ask for it never notices.
"""

import importlib
import sys
import traceback
from dataclasses import dataclass, replace
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from robnas.errors import UserError, unknown

GROUPS = {
    "robnas.attacks": "attack",
    "robnas.defences": "defence",
    "robnas.probes": "probe",
    "robnas.searchers": "searcher",
    "robnas.evaluators": "evaluator",
    "robnas.models": "model",
    "robnas.data": "data",
}
"""Entry-point group → what one of it is called."""


@dataclass(frozen=True)
class Plugin:
    """One entry point: `value` is "module:attribute", `broken` what is wrong with it as far as is known without importing it."""

    group: str
    name: str
    value: str
    distribution: str
    version: str
    broken: str = ""

    @property
    def class_path(self) -> str:
        """The import path as configs write it: "robnas.attacks.pgd.PGD"."""
        return self.value.replace(":", ".")

    @property
    def class_name(self) -> str:
        """The last part of it."""
        return self.class_path.rpartition(".")[2]

    @property
    def provider(self) -> str:
        """Distribution and version: "robnas 0.1.0"."""
        return f"{self.distribution} {self.version}".strip()

    @property
    def built_in(self) -> bool:
        """Whether it is robnas's own."""
        return self.distribution == "robnas"

    def load(self) -> Any:
        """The class. Raises UserError where the plug-in is broken; a bug in robnas itself stays a bug, with its traceback."""
        if self.broken:
            raise UserError(f"{GROUPS[self.group]} {self.name!r} of {self.provider} cannot be used: {self.broken}")
        module, _, attribute = self.value.partition(":")
        if self.built_in:
            return getattr(importlib.import_module(module), attribute)
        try:
            return getattr(importlib.import_module(module), attribute)
        except (Exception, SystemExit) as error:  # a module that exits on import is broken too
            raise UserError(f"{GROUPS[self.group]} {self.name!r} of {self.provider} cannot be used: {said(error)}") from error

    def fault(self) -> str:
        """Imports it: what is wrong in one line, or "" where nothing is."""
        try:
            self.load()
        except (Exception, SystemExit) as error:
            return self.broken or said(error.__cause__ or error)
        return ""


@cache
def declared(group: str) -> tuple[Plugin, ...]:
    """Every entry point of a group, sorted by name; robnas's own come first, so that nobody can take their names."""
    found = sorted({_plugin(group, ep) for ep in _all().select(group=group)}, key=lambda p: (not p.built_in, p.name, p.provider))
    taken: dict[str, Plugin] = {}
    out = []
    for plugin in found:
        first = taken.setdefault(plugin.name, plugin)
        if first.value != plugin.value:
            plugin = replace(plugin, broken=f"the name {plugin.name!r} is already that of {first.value} of {first.provider}")
            out.append(plugin)
        elif first is plugin:
            out.append(plugin)
    return tuple(sorted(out, key=lambda p: (p.name, bool(p.broken))))


def available(group: str) -> dict[str, Plugin]:
    """name → plug-in, of those whose name is theirs. Nothing is imported, so one of them may still turn out broken."""
    return {plugin.name: plugin for plugin in reversed(declared(group)) if not _clashes(plugin)}


def refresh() -> None:
    """Look again: something was installed while this process ran."""
    declared.cache_clear()
    _all.cache_clear()


def names(group: str) -> list[str]:
    """The short names of a group, sorted."""
    return sorted(available(group))


def find(group: str, name: str) -> Plugin:
    """The plug-in of that short name or class name, whatever the case. Raises UserError with the nearest name."""
    plugins = available(group)
    for plugin in sorted(plugins.values(), key=lambda p: p.name != name):
        if name.lower() in (plugin.name.lower(), plugin.class_name.lower()):
            return plugin
    raise unknown(GROUPS[group], name, plugins)


def load(group: str, name: str) -> Any:
    """The class of that short name."""
    return find(group, name).load()


def resolve(class_path: str) -> Any:
    """The class at an import path, which may lie in a file of the current folder. Raises UserError in one line.

    The current folder comes last in the search, so that a file of the user's never shadows a library.
    """
    module, _, attribute = class_path.rpartition(".")
    here = str(Path.cwd())
    if here not in sys.path and "" not in sys.path:
        sys.path.append(here)
    try:
        found = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name and (module == error.name or module.startswith(error.name + ".")):
            raise UserError(f"class_path {class_path!r}: there is no module {error.name!r}, installed or in {here}") from error
        raise UserError(f"class_path {class_path!r} cannot be imported: {said(error)}") from error
    except (Exception, SystemExit) as error:
        if module.partition(".")[0] == "robnas":
            raise
        raise UserError(f"class_path {class_path!r} cannot be imported: {said(error)}") from error
    if not hasattr(found, attribute):
        own = [n for n, value in vars(found).items() if isinstance(value, type) and value.__module__ == found.__name__]
        raise unknown(f"class in {module}", attribute, getattr(found, "__all__", own))
    return getattr(found, attribute)


def said(error: BaseException) -> str:
    """An exception in one line: its type, its message, and where it was raised."""
    text = " ".join(str(error).split()) or "no message"
    if isinstance(error, SyntaxError):
        return f"{type(error).__name__}: {text}"
    frames = [f for f in traceback.extract_tb(error.__traceback__) if not f.filename.startswith("<") and "importlib" not in f.filename]
    where = f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames and frames[-1].filename != __file__ else ""
    return f"{type(error).__name__}: {text}{where}"


@cache
def _all() -> Any:
    """One look through everything that is installed serves all groups."""
    return entry_points()


def _plugin(group: str, ep: EntryPoint) -> Plugin:
    name, version = (ep.dist.name, ep.dist.version) if ep.dist is not None else ("unknown", "")
    module, _, attribute = ep.value.partition(":")
    good = attribute.isidentifier() and all(part.isidentifier() for part in module.split("."))
    return Plugin(group, ep.name, ep.value, name, version, "" if good else f"{ep.value!r} is not of the form 'module:Class'")


def _clashes(plugin: Plugin) -> bool:
    return plugin.broken.startswith("the name ")
