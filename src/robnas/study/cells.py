"""Cells that a study changes (§5.2): known ones, deepened or with other operations, as files that commands name."""

from pathlib import Path

from robnas import atomic
from robnas.space import published, rewire
from robnas.study.blocks import Model, Study


def write(study: Study, folder: Path) -> None:
    """The genotypes of models that are a known cell, changed, for commands to name."""
    for model in study.models.values():
        if model.cell is not None:
            genotype = published.find(model.cell)
            genotype = rewire.deepen(genotype) if model.deepen else genotype
            for swap in model.replace:
                old, _, new = swap.partition("=")
                genotype = rewire.replace(genotype, old, new)
            path, text = place(folder, model), genotype.to_yaml()
            if not path.is_file() or path.read_text("utf-8") != text:
                atomic.write(path, text)


def place(folder: Path, model: Model) -> Path:
    """Where the genotype of a changed cell lies."""
    return folder / "cells" / f"{model.name}.yaml"
