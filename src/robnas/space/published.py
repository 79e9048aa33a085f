"""Architectures by name, file, run folder or pasted text. The published ones are data: `published.yaml`."""

from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path

import yaml

from robnas.errors import UserError, unknown
from robnas.space.genotype import LONGEST, Genotype


@dataclass(frozen=True)
class Published:
    """A published architecture. about: method and source, in a line; aliases: other names that its authors use."""

    name: str
    about: str
    genotype: Genotype
    aliases: tuple[str, ...] = ()


def names() -> list[str]:
    """The names of the published genotypes, in the order of tables."""
    return list(_published())


def entry(name: str) -> Published:
    """A published genotype with its origin; capitals and hyphens do not matter. Raises UserError that has the nearest name."""
    for published in _published().values():
        if _plain(name) in map(_plain, (published.name, *published.aliases)):
            return published
    raise unknown("genotype", name, names())


def find(source: str) -> Genotype:
    """From a published name, a file (YAML, JSON or `Genotype(…)` text), the run folder of a search, or the text of a genotype itself.

    Raises UserError in one line: nothing has that name (and which name is near), or what is there is no genotype.
    """
    if "Genotype" in source and "(" in source:
        return Genotype.parse(source)
    if "\n" in source or source.lstrip().startswith("{"):
        return Genotype.from_yaml(source)
    try:
        return entry(source).genotype
    except UserError as e:
        if (path := _file(source)) is not None:
            return read(path)
        if Path(source).name != source or Path(source).suffix:
            raise UserError(f"{source}: no published genotype, no such file, and no folder with a genotype.yaml") from None
        raise UserError(f"{e} A file, a search's run folder or Genotype(…) text will do as well.") from None


def _file(source: str) -> Path | None:
    path = Path(source).expanduser()
    try:
        return next((p for p in (path, path / "genotype.yaml") if p.is_file()), None)
    except OSError:  # longer than a file's name can be
        return None


def read(path: Path) -> Genotype:
    """The genotype in a file. Raises UserError that names the file."""
    try:
        with path.open(encoding="utf-8") as file:
            text = file.read(LONGEST + 1)
        return Genotype.parse(text) if "Genotype(" in text else Genotype.from_yaml(text)
    except (UserError, UnicodeDecodeError, OSError) as e:
        raise UserError(f"{path}: {e}") from None


def _plain(name: str) -> str:
    """PC-DARTS, pc_darts and pcdarts are one name."""
    return name.lower().replace("-", "").replace("_", "").replace(" ", "")


@cache
def _published() -> dict[str, Published]:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml where PyYAML was built with it: ten times as fast
    data = yaml.load((files("robnas.space") / "published.yaml").read_text(encoding="utf-8"), Loader=loader)
    return {
        name: Published(name, d["about"], Genotype.from_dict({k: d[k] for k in ("normal", "reduce")}), tuple(d.get("aliases", ())))
        for name, d in data.items()
    }
