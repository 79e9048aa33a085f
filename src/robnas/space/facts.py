"""What there is to say of an architecture without training it, and where each number stands among random ones (Table 3; Fig. 14)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from robnas.errors import UserError
from robnas.space.genotype import Genotype
from robnas.space.percentile import percentile, random_genotypes
from robnas.space.size import Size, size

RANDOM_CELLS = 1000
"""As many make a percentile; its standard error is at most 1.6."""

CELL_FACTS = ("depth", "width", "skips", "convolutions", "density")
"""Attributes of `Cell`; the first three are Table 3's."""

NETWORK_FACTS = ("parameters", "flops")

PASSED = "genotypes.jsonl"
"""In the run folder of a search: a line for each number of epochs, with the cells as they would be derived then."""


def describe(genotype: Genotype, network: Mapping[str, int]) -> dict[str, Any]:
    """Numbers of both cells and of the network they make; beside each group of numbers, "percentile" has one for each.

    Args:
        genotype: what is described.
        network: layers, init_channels, image_size and num_classes of `robnas.space.size.size`.

    A percentile is among random genotypes of DARTS's space with as many nodes as the cell (for the network: as the normal cell): a cell's
    numbers among their cells of that kind, parameters and FLOPs among their networks of the same shape. In that space every node has two
    sources, so all random cells are equally dense.
    """
    facts: dict[str, Any] = {kind: ranked(genotype, kind) for kind in genotype.cells}
    sizes = _random_sizes(len(genotype.normal.nodes), tuple(sorted(network.items())))
    return {**facts, **_facts(size(genotype, **network), sizes, NETWORK_FACTS), "network": dict(network), "random_cells": RANDOM_CELLS}


def ranked(genotype: Genotype, kind: str) -> dict[str, Any]:
    """CELL_FACTS of the "normal" or "reduce" cell, and their percentiles among random cells of that kind as "percentile"."""
    cell = genotype.cells[kind]
    return _facts(cell, [other.cells[kind] for other in random_genotypes(len(cell.nodes), RANDOM_CELLS)], CELL_FACTS)


def passed(search: str | Path) -> dict[int, Genotype]:
    """Every genotype that a search passed through, by the epochs that it had been going on for.

    Args:
        search: its run folder, or the file `genotypes.jsonl` of it.

    Raises:
        UserError: there is no such file, or it is none of a search.
    """
    path = Path(search) / PASSED if Path(search).is_dir() else Path(search)
    if path.name != PASSED or not path.is_file():
        raise UserError(f"{search}: no run folder of a search: there is no {PASSED}")
    try:
        lines = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
        return {int(line["epoch"]): Genotype.from_dict(line["genotype"]) for line in lines}
    except (ValueError, KeyError, TypeError, UserError) as e:
        raise UserError(f"{path}: no list of genotypes: {' '.join(str(e).split()):.200}") from None


def _facts(own: object, others: Sequence[object], names: Sequence[str]) -> dict[str, Any]:
    values = {name: getattr(own, name) for name in names}
    return {**values, "percentile": {name: round(percentile(v, [getattr(o, name) for o in others]), 1) for name, v in values.items()}}


@cache
def _random_sizes(nodes: int, network: tuple[tuple[str, int], ...]) -> list[Size]:
    return [size(g, **dict(network)) for g in random_genotypes(nodes, RANDOM_CELLS)]
