"""What an architecture is: operations, genotypes, and the networks they make. Names load on first use: a genotype needs no torch."""

from typing import TYPE_CHECKING

from robnas import lazy

if TYPE_CHECKING:
    from robnas.space.genotype import Cell, Edge, Genotype
    from robnas.space.mixture import Mixture
    from robnas.space.network import Network
    from robnas.space.search_space import CELL_KINDS, OPERATIONS, Space
    from robnas.space.supernet import Supernet

__all__ = ["CELL_KINDS", "OPERATIONS", "Cell", "Edge", "Genotype", "Mixture", "Network", "Space", "Supernet"]
__getattr__ = lazy.names(
    __name__,
    {
        "genotype": "Cell Edge Genotype",
        "mixture": "Mixture",
        "network": "Network",
        "search_space": "CELL_KINDS OPERATIONS Space",
        "supernet": "Supernet",
    },
)
