"""Where a config is: a path from the current folder, else a shipped config by its name, with or without `.yaml`. So are study files."""

from collections.abc import Mapping
from pathlib import Path

from robnas.errors import UserError, unknown

STUDIES = "studies"
"""Folder of the shipped study files, which are no configs."""


def shipped() -> dict[str, Path]:
    """Name → file of every shipped config: "darts.yaml", "darts_iii/paper.yaml"."""
    folder = shipped_folder()
    return {name: path for name, path in _below(folder).items() if not name.startswith(f"{STUDIES}/")} if folder else {}


def studies() -> dict[str, Path]:
    """Name → file of every shipped study: "quickstart.yaml"."""
    folder = shipped_folder()
    return _below(folder / STUDIES) if folder else {}


def shipped_folder() -> Path | None:
    """`robnas/configs` of a wheel, or `configs` at the root of an editable checkout."""
    package = Path(__file__).resolve().parent.parent
    return next((f for f in (package / "configs", package.parent.parent / "configs") if f.is_dir()), None)


def find(name: str, among: Mapping[str, Path] | None = None, kind: str = "config") -> Path:
    """The file of that name. Raises UserError with the nearest shipped name. among: the shipped ones; configs, if not given."""
    candidates = [name] if name.endswith((".yaml", ".yml")) else [name, f"{name}.yaml"]
    for candidate in candidates:
        if Path(candidate).is_file():
            return Path(candidate)
    known = shipped() if among is None else among
    for candidate in candidates:
        if candidate in known:
            return known[candidate]
    if kind == "config" and Path(name).is_dir() and Path(name, "config.yaml").is_file():
        raise UserError(f"--config {name} is a folder; its config is {Path(name, 'config.yaml')}")
    raise unknown(kind, name, known)


def _below(folder: Path) -> dict[str, Path]:
    return {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*.yaml"))}
