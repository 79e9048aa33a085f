"""What to watch in a search, as numbers."""

from collections.abc import Mapping

import torch
from torch import Tensor

from robnas.space.genotype import Genotype
from robnas.space.search_space import Space


def describe(genotype: Genotype, weights: Mapping[str, Tensor], space: Space) -> dict[str, float]:
    """What to watch in a search: shape of the derived cells, mean entropy of an edge (nats), mean weight of each operation."""
    numbers: dict[str, float] = {}
    for kind, cell in genotype.cells.items():
        share = weights[kind] / weights[kind].sum(-1, keepdim=True)
        numbers[f"{kind}/entropy"] = float(torch.special.entr(share).sum(-1).mean())
        numbers |= {f"{kind}/skips": float(cell.skips), f"{kind}/depth": float(cell.depth), f"{kind}/width": float(cell.width)}
        numbers |= {f"{kind}/weight/{o}": w for o, w in zip(space.operations, weights[kind].mean(0).tolist(), strict=True)}
    return numbers
