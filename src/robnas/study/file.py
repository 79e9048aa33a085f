"""A study file: which networks are found, trained, attacked and probed, how, and how often. Checked as a whole before the first job."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from robnas import plugins
from robnas.configuration import files, reading
from robnas.errors import UserError, require, short, unknown
from robnas.space import published
from robnas.study import checks
from robnas.study.blocks import Block, Kind, Model, Study
from robnas.study.file_block import PROTOCOLS, Reader, configs

SECTIONS: dict[str, Kind] = {"searches": "search", "trainings": "train", "attacks": "attack", "probes": "probe"}
"""Key of the study file → what kind of jobs stands there."""
TOP = ("study", "protocols", "data", "overlays", "flags", "threads", "searches", "models", *(s for s in SECTIONS if s != "searches"))
MODEL_KEYS = ("network", "search", "cell", "deepen", "replace", "flags")


def find(name: str) -> Path:
    """A path from the current folder, else a shipped study by its name. Raises UserError with the nearest one."""
    return files.find(name, files.studies(), "study")


def read(path: Path) -> Study:
    """Raises UserError, one line, for the first thing that is wrong with it: keys, names, configs, flags."""
    return checked(reading.read_file(path), str(path))


def checked(content: Mapping[str, Any], where: str) -> Study:
    """The study that a file's content describes. where: the file's name, for complaints."""
    try:
        return _study(content)
    except UserError as error:
        raise UserError(f"{where}: {error}") from error


def _study(content: Mapping[str, Any]) -> Study:
    checks.keys(content, TOP, "key")
    name = content.get("study")
    require(isinstance(name, str) and bool(name) and not set(str(name)) & set("/\\ "), f"study: {short(name)} is not a name without blanks")
    protocols = checks.names(content.get("protocols", ["sound"]), "protocols", PROTOCOLS, "protocol")
    data = _data(content.get("data") or {})
    threads = content.get("threads", 1)
    require(isinstance(threads, int) and threads >= 1, f"threads: {short(threads)} is not a whole number of at least 1")
    searches = content.get("searches") or {}
    models = _models(content.get("models") or {}, searches)
    defaults = {"protocols": protocols, "data": tuple(data), "overlays": configs(content.get("overlays", []), "overlays")}
    blocks: list[Block] = []
    for section, kind in SECTIONS.items():
        for block, given in checks.mapping(content.get(section) or {}, section).items():
            where = f"{section}.{block}"
            require(not set(block) & set("/ {}"), f"{where}: a name has no blanks, slashes and braces")
            given = {"config": given} if isinstance(given, str | list) else checks.mapping(given, where)
            blocks.append(Reader(block, kind, where, given, defaults, models, blocks).block())
    require(bool(blocks), f"a study needs at least one of {', '.join(SECTIONS)}")
    flags = checks.flags(content.get("flags") or {}, "flags")
    return Study(str(name), dict(content), protocols, data, flags, threads, models, tuple(blocks))


def _data(given: Any) -> dict[str, dict[str, Any]]:
    named = {str(name): {} for name in given} if isinstance(given, list) else checks.mapping(given, "data")
    out = {}
    for name, options in named.items():
        plugins.find("robnas.data", name)
        options = checks.mapping(options or {}, f"data.{name}")
        checks.keys(options, ("flags",), f"key of data.{name}")
        out[name] = checks.flags(options.get("flags") or {}, f"data.{name}.flags")
    return out


def _models(given: Any, searches: Mapping[str, Any]) -> dict[str, Model]:
    named = {str(name): {} for name in given} if isinstance(given, list) else checks.mapping(given, "models")
    require(len(named) == len(given), "models: one is named twice")
    out = {}
    for name, options in named.items():
        where = f"models.{name}"
        require(not set(name) & set("/ {}"), f"{where}: a name has no blanks, slashes and braces; network: takes a file")
        options = {"network": options} if isinstance(options, str) else checks.mapping(options or {}, where)
        checks.keys(options, MODEL_KEYS, f"key of {where}")
        kinds = [key for key in ("network", "search", "cell") if options.get(key) is not None]
        require(len(kinds) < 2, f"{where}: {' and '.join(kinds)}: a network is one of them")
        require(
            "cell" in kinds or not {"deepen", "replace"} & set(options), f"{where}: deepen and replace change a cell, and none is named"
        )
        flags = checks.flags(options.get("flags") or {}, f"{where}.flags")
        if "search" in kinds:
            if options["search"] not in searches:
                raise unknown(f"search of {where}", options["search"], searches)
            out[name] = Model(name, search=str(options["search"]), flags=flags)
        elif "cell" in kinds:
            published.find(str(options["cell"]))
            replace = options.get("replace") or {}
            swaps = tuple(f"{old}={new}" for old, new in checks.mapping(replace, f"{where}.replace").items())
            out[name] = Model(name, cell=str(options["cell"]), deepen=bool(options.get("deepen")), replace=swaps, flags=flags)
        else:
            out[name] = Model(name, network=_network(str(options.get("network", name)), where), flags=flags)
    return out


def _network(network: str, where: str) -> str:
    """Raises UserError where nothing is called so; the file of a network is looked for, not read."""
    known = [*published.names(), *plugins.names("robnas.models")]
    if network not in known and not Path(network).exists() and "(" not in network:
        raise unknown(f"network of {where}", network, known)
    return network
