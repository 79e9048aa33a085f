"""Cells that a study changes (§5.2): known ones, deepened or with other operations, as files that commands name."""

from collections.abc import Iterable
from pathlib import Path

from robnas import atomic
from robnas.space import published, rewire
from robnas.space.genotype import Genotype
from robnas.study.blocks import Model, Study


def write(study: Study, folder: Path) -> None:
    """The genotypes of models that are a known cell, changed, for commands to name."""
    for path, text in different(study, folder).items():
        atomic.write(path, text)


def different(study: Study, folder: Path) -> dict[Path, str]:
    """Files of genotypes that are not there, or say something else, and what they should say."""
    own = [model for model in study.models.values() if model.cell is not None]
    wanted = {place(folder, model): changed(str(model.cell), model.deepen, model.replace).to_yaml() for model in own}
    return {path: text for path, text in wanted.items() if not path.is_file() or path.read_text("utf-8") != text}


def changed(cell: str, deepen: bool, swaps: Iterable[str]) -> Genotype:
    """swaps: "skip_connect=sep_conv_3x3". Raises UserError where there is no such cell or operation."""
    genotype = published.find(cell)
    genotype = rewire.deepen(genotype) if deepen else genotype
    for swap in swaps:
        old, _, new = swap.partition("=")
        genotype = rewire.replace(genotype, old, new)
    return genotype


def place(folder: Path, model: Model) -> Path:
    """Where the genotype of a changed cell lies."""
    return folder / "cells" / f"{model.name}.yaml"
