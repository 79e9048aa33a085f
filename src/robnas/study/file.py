"""A study file: which networks are found, trained, attacked and probed, how, and how often. Checked as a whole before the first job."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from robnas import plugins
from robnas.configuration import files, reading
from robnas.errors import UserError, require
from robnas.study import checks, file_model, layers
from robnas.study.blocks import Block, Kind, Study
from robnas.study.file_block import PROTOCOLS, Reader, configs

SECTIONS: dict[str, Kind] = {"searches": "search", "trainings": "train", "attacks": "attack", "probes": "probe"}
"""Key of the study file → what kind of jobs stands there."""
TOP = ("study", "protocols", "data", "overlays", "flags", "threads", "searches", "models", *(s for s in SECTIONS if s != "searches"))


def find(name: str) -> Path:
    """A path from the current folder, else a shipped study by its name. Raises UserError with the nearest one."""
    return files.find(name, files.studies(), "study")


def read(path: Path) -> Study:
    """Raises UserError, one line, for the first thing that is wrong with it: keys, names, configs, flags."""
    return checked(reading.read_file(path), str(path))


def checked(content: Mapping[str, Any], where: str) -> Study:
    """The study that a file's content describes. where: the file's name, for complaints."""
    layers.forget()
    try:
        return _study(content)
    except UserError as error:
        raise UserError(f"{where}: {error}") from error


def _study(content: Mapping[str, Any]) -> Study:
    checks.keys(content, TOP, "key")
    name = checks.name(content.get("study"), "study")
    protocols = checks.names(content.get("protocols", ["sound"]), "protocols", PROTOCOLS, "protocol")
    data = _data(content.get("data") or {})
    threads = checks.whole_number(content.get("threads", 1), "threads", least=1)
    sections = {section: checks.mapping(content.get(section) or {}, section) for section in SECTIONS}
    models = file_model.models(content.get("models") or {}, sections["searches"])
    defaults = {"protocols": protocols, "data": tuple(data), "overlays": configs(content.get("overlays", []), "overlays")}
    blocks: list[Block] = []
    for section, kind in SECTIONS.items():
        for block, given in sections[section].items():
            where = f"{section}.{checks.name(block, section)}"
            given = {"config": given} if isinstance(given, str | list) else checks.mapping(given, where)
            blocks.append(Reader(block, kind, where, given, defaults, models, blocks).block())
    require(bool(blocks), f"a study needs at least one of {', '.join(SECTIONS)}")
    flags = checks.flags(content.get("flags") or {}, "flags")
    return Study(name, dict(content), protocols, data, flags, threads, models, tuple(blocks))


def _data(given: Any) -> dict[str, dict[str, Any]]:
    """Data set, by the name that rows have → flags."""
    out = {}
    for name, options in checks.named(given, "data").items():
        known = plugins.find("robnas.data", name).name
        require(known not in out, f"data: {known} is named twice")
        options = checks.mapping(options or {}, f"data.{name}")
        checks.keys(options, ("flags",), f"key of data.{name}")
        out[known] = checks.flags(options.get("flags") or {}, f"data.{name}.flags")
    return out
