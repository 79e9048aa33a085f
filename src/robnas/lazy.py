"""Names of a package that load on first use (PEP 562), so that a torch-free one stays torch-free."""

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def names(package: str, homes: Mapping[str, str]) -> Callable[[str], Any]:
    """The `__getattr__` of a package: `names("robnas.space", {"genotype": "Cell Edge Genotype"})`. homes: module → its names."""
    home = {name: f"{package}.{module}" for module, listed in homes.items() for name in listed.split()}

    def load(name: str) -> Any:
        if name in home:
            return getattr(import_module(home[name]), name)
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    return load
