"""What a config says, read once; what planning asks of it is what it must be, so that a wrong config is a line and no traceback."""

from collections.abc import Mapping
from functools import cache
from typing import Any

from robnas.configuration import files, reading
from robnas.configuration.merging import NAMED
from robnas.errors import require, short


@cache
def content(name: str) -> dict[str, Any]:
    """Of a config, `data: cifar100` and `pgd: pgd` as blocks with a class. Not to be changed. Raises UserError that names it."""
    return {key: _section(key, value, f"{name}: {key}") for key, value in reading.read_file(files.find(name)).items()}


def _section(key: str, value: Any, where: str) -> Any:
    if key in ("model", "data"):
        return _block(value, where)
    if key in NAMED and value is not None:
        return {name: _block(block, f"{where}.{name}") for name, block in _mapping(value, where, "named blocks").items()}
    return _mapping(value, where, "names to values") if key == "trainer" and value is not None else value


def _block(value: Any, where: str) -> dict[str, Any] | None:
    """None: the block is taken out."""
    if value is None:
        return None
    block = {"class_path": value} if isinstance(value, str) else _mapping(value, where, "class_path and init_args")
    require(isinstance(block.get("class_path", ""), str), f"{where}.class_path: {short(block.get('class_path'))} is no name of a class")
    require(isinstance(block.get("init_args"), Mapping | None), f"{where}.init_args: {short(block.get('init_args'))} is not a mapping")
    return block


def _mapping(value: Any, where: str, of: str) -> dict[str, Any]:
    require(isinstance(value, Mapping), f"{where}: {short(value)} is not a mapping of {of}")
    return {str(key): inner for key, inner in value.items()}
