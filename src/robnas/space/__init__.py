"""What an architecture is: operations, genotypes, and the networks they make. Names load on first use: a genotype needs no torch."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from robnas.space.genotype import Cell, Edge, Genotype
    from robnas.space.mixture import Mixture
    from robnas.space.network import Network
    from robnas.space.search_space import CELL_KINDS, OPERATIONS, Space
    from robnas.space.supernet import Supernet

_HOME = {
    "Cell": "genotype",
    "Edge": "genotype",
    "Genotype": "genotype",
    "CELL_KINDS": "search_space",
    "OPERATIONS": "search_space",
    "Space": "search_space",
    "Mixture": "mixture",
    "Network": "network",
    "Supernet": "supernet",
}

__all__ = ["CELL_KINDS", "OPERATIONS", "Cell", "Edge", "Genotype", "Mixture", "Network", "Space", "Supernet"]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f"robnas.space.{_HOME[name]}"), name)
    raise AttributeError(f"module 'robnas.space' has no attribute {name!r}")
