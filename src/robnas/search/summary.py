"""What to watch in a search, as numbers and in a line; and what a finished one is worth knowing for, as numbers of rows."""

from collections.abc import Mapping

import torch
from torch import Tensor

from robnas.space.genotype import Genotype
from robnas.space.search_space import Space
from robnas.space.size import size

SHAPE = ("depth", "width", "skips")
"""Of a cell (Table 3)."""


def shape(genotype: Genotype) -> dict[str, float]:
    """Depth, width and skips of both cells: {"normal/depth": 4.0, …}."""
    return {f"{kind}/{name}": float(getattr(cell, name)) for kind, cell in genotype.cells.items() for name in SHAPE}


def describe(genotype: Genotype, weights: Mapping[str, Tensor], space: Space) -> dict[str, float]:
    """What to watch in a relaxed search: shape of the derived cells, mean entropy of an edge (nats), mean weight of each operation.

    Args:
        genotype: as derived now.
        weights: per kind of cell [E, O], not negative. An edge that has nothing left is no row of zeros: it does not count.
        space: orders edges and operations.
    """
    numbers = shape(genotype)
    for kind, weight in weights.items():
        sums = weight.sum(-1, keepdim=True)
        left = sums.squeeze(-1) > 0
        share = weight[left] / sums[left]
        numbers[f"{kind}/entropy"] = float(torch.special.entr(share).sum(-1).mean()) if left.any() else 0.0
        numbers |= {f"{kind}/weight/{o}": w for o, w in zip(space.operations, weight.mean(0).tolist(), strict=True)}
    return numbers


def line(genotype: Genotype, numbers: Mapping[str, float]) -> str:
    """A search in a line: "normal: depth 4 width 1 skips 3  reduce: depth 3 width 2 skips 0  entropy 2.19  temperature 0.4".

    Args:
        genotype: as derived now.
        numbers: names without a slash stand as they are; those of one measure for both kinds of cell as their mean.
    """
    cells = [f"{kind}: " + " ".join(f"{name} {getattr(cell, name)}" for name in SHAPE) for kind, cell in genotype.cells.items()]
    means = []
    for name in ("entropy", "operations"):
        if values := [numbers[f"{kind}/{name}"] for kind in genotype.cells if f"{kind}/{name}" in numbers]:
            means.append(f"{name} {sum(values) / len(values):.3g}")
    return "  ".join([*cells, *means, *(f"{name} {value:.4g}" for name, value in numbers.items() if "/" not in name)])


def worth(genotype: Genotype, sizes: Mapping[str, Mapping[str, int]], data: Mapping[str, int]) -> dict[str, float]:
    """Numbers for the rows of a finished search: shape, and the parameters of the network that the cells make.

    Args:
        genotype: what was found.
        sizes: name → layers and init_channels; → "parameters/<name>".
        data: image_size, num_classes and in_channels.
    """
    return shape(genotype) | {f"parameters/{name}": float(size(genotype, **each, **data).parameters) for name, each in sizes.items()}
