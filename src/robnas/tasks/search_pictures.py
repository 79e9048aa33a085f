"""The pictures of a search: its cells, and how it came to them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor

from robnas import jobs
from robnas.search.base import Relaxed
from robnas.search.figures import draw_scores, draw_weights, save
from robnas.space.genotype import Genotype
from robnas.tasks.search_rows import name_of

if TYPE_CHECKING:
    from robnas.tasks.supernet_task import SupernetTask


def draw_cells(stem: Path, genotype: Genotype, search: "SupernetTask", epoch: int) -> Path:
    """`stem`.{svg,png}, a fifth of a second, above it which searcher derives these cells after how many epochs → the .png."""
    from robnas.space.drawing import draw

    return next(path for path in draw(genotype, stem, f"{_name(search)}, epoch {epoch}") if path.suffix == ".png")


def _name(search: "SupernetTask") -> str:
    """ "darts", and the experiment's name where it says more: "darts_iii (darts)"."""
    name, job = name_of(search.searcher), jobs.job_at(search.trainer.default_root_dir)
    return name if job is None or job.experiment == name else f"{job.experiment} ({name})"


def draw_search(
    folder: Path, epochs: Sequence[int], weights: Mapping[str, Tensor], search: "SupernetTask", genotype: Genotype
) -> list[Path]:
    """cells.{svg,png} in `folder`, with α also alpha.{svg,png}, with scores scores.{svg,png} → the .png.

    Args:
        folder: in that of the run; made where it is not there.
        epochs: [T], after how many epochs.
        weights: per kind of cell [T, E, O]; empty without α.
        search: its searcher says its stages; a sampled one keeps what was told.
        genotype: what was found.
    """
    pictures = [draw_cells(folder / "cells", genotype, search, epochs[-1])]
    searcher = search.searcher
    if weights:
        borders = sorted({searcher.stage(epoch, epochs[-1]).first for epoch in range(epochs[-1])} - {0})
        edges = {kind: e.detach().cpu() for kind, e in searcher.edges().items()} if isinstance(searcher, Relaxed) else {}
        name = f"{_name(search)} · {folder.resolve().parent.name}"
        figure = draw_weights(epochs, weights, search.space, genotype, borders, edges, name)
        pictures.append(save(figure, folder / "alpha")[1])
    if told := getattr(search, "told", None):
        pictures.append(save(draw_scores(told), folder / "scores")[1])
    return pictures
