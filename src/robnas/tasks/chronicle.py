"""What a search does, told while it does it and kept over a resume: its cells and weights at every epoch, pictures, rows at the end."""

import json
import time
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any, cast

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from robnas import atomic, provenance
from robnas.search.base import Relaxed
from robnas.search.summary import SHAPE, line
from robnas.space.genotype import Genotype
from robnas.space.search_space import CELL_KINDS
from robnas.tasks.search_pictures import draw_cells, draw_search
from robnas.tasks.search_rows import rows_of

if TYPE_CHECKING:
    from robnas.tasks.supernet_task import SupernetTask

GENOTYPES = "genotypes.jsonl"
"""In the run folder: a line for each number of epochs, 0 being the start, with the cells as they would be derived then."""


class Chronicle(Callback):
    """Keeps genotype, α and the operations' weights as they stood at the start of every epoch, and at the end.

    It looks at the first batch of an epoch and not at the epoch's end, as Lightning leaves the latter out where a run goes on from a
    checkpoint of an epoch's last batch.

    A `fast_dev_run` is no search: nothing of it is written or told.

    Args:
        draw_every: epochs between two drawings of the cells, `figures/cells-<epoch>.{svg,png}`; 0: at the end alone.
    """

    def __init__(self, draw_every: int = 5) -> None:
        self.draw_every = draw_every
        self.history: dict[int, dict[str, Tensor]] = {}
        """epoch → {"normal/alpha", "normal/weights", "reduce/alpha", "reduce/weights"}, each [E, O] on the CPU; empty without α."""
        self.genotypes: dict[int, dict[str, Any]] = {}
        """epoch → genotype, in plain values."""
        self._before = 0.0
        self._since: float | None = None

    @property
    def seconds(self) -> float:
        """Wall clock of the search: the sum of its parts, less what was done again after a kill."""
        return self._before + (0.0 if self._since is None else time.monotonic() - self._since)

    def state_dict(self) -> dict[str, Any]:
        """Plain: {epoch: {name: tensor}}, {epoch: {"normal": …, "reduce": …}}, seconds."""
        return {"history": self.history, "genotypes": self.genotypes, "seconds": self.seconds}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on from there."""
        self.history, self.genotypes = dict(state_dict["history"]), dict(state_dict["genotypes"])
        self._before = state_dict["seconds"]

    # Every epoch

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """The clock runs."""
        self._since = time.monotonic()

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """The search as the last epoch left it."""
        epoch = trainer.current_epoch
        if epoch in self.history or _is_trial(trainer):
            return
        self.record(epoch, _search(pl_module))
        if trainer.is_global_zero:
            self.write(Path(trainer.default_root_dir))
            if epoch and self.draw_every and epoch % self.draw_every == 0:
                stem = Path(trainer.default_root_dir) / "figures" / f"cells-{epoch}"
                _show(trainer, "cells", draw_cells(stem, Genotype.from_dict(self.genotypes[epoch]), _search(pl_module), epoch))

    def record(self, epoch: int, search: "SupernetTask") -> None:
        """Once an epoch; a second time changes nothing."""
        if epoch not in self.history:
            searcher = search.searcher
            self.history[epoch] = {}
            if isinstance(searcher, Relaxed):
                now = {f"{kind}/alpha": a.detach() for kind, a in searcher.alpha.items()}
                now |= {f"{kind}/weights": w for kind, w in searcher.weights().items()}
                self.history[epoch] = {name: tensor.cpu().clone() for name, tensor in now.items()}
            self.genotypes[epoch] = searcher.derive().to_dict()

    def write(self, folder: Path) -> None:
        """genotypes.jsonl, whole each time: what came after the checkpoint that a run goes on from is forgotten, and comes again."""
        lines = []
        for epoch, plain in sorted(self.genotypes.items()):
            cells = Genotype.from_dict(plain).cells
            shapes = {kind: {name: getattr(cell, name) for name in SHAPE} for kind, cell in cells.items()}
            lines.append(json.dumps({"epoch": epoch, **shapes, "genotype": plain}) + "\n")
        folder.mkdir(parents=True, exist_ok=True)
        atomic.write(folder / GENOTYPES, "".join(lines))

    def weights(self) -> dict[str, Tensor]:
        """Per kind of cell [T, E, O], T = `sorted(self.history)`; nothing without α."""
        epochs = sorted(self.history)
        if not all(f"{kind}/weights" in self.history[e] for kind in CELL_KINDS for e in epochs):
            return {}
        return {kind: torch.stack([self.history[e][f"{kind}/weights"] for e in epochs]) for kind in CELL_KINDS}

    @staticmethod
    def line(pl_module: LightningModule) -> str:
        """What the line of an epoch says of a search beside its losses."""
        search = _search(pl_module)
        return line(search.searcher.derive(), search.watched())

    # The end

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Writes genotype.yaml, pictures and rows into the run folder; loggers that take pictures get them.

        Not `on_train_end`: Lightning leaves that out where a run goes on from its very last checkpoint.
        """
        self._before, self._since = self.seconds, None
        if trainer.interrupted or not self.history or _is_trial(trainer):
            return
        search, folder = _search(pl_module), Path(trainer.default_root_dir)
        # Not current_epoch: the checkpoint of an epoch's end does not count that epoch as completed yet.
        epochs = trainer.fit_loop.epoch_progress.current.processed  # type: ignore[attr-defined]
        self.record(epochs, search)
        if trainer.is_global_zero:
            genotype = search.searcher.derive()
            self.write(folder)
            atomic.write(folder / "genotype.yaml", genotype.to_yaml())
            rows, origin = provenance.of_trainer(trainer)
            rows.write(rows_of(search, genotype, epochs, self.seconds, origin))
            for picture in draw_search(folder / "figures", sorted(self.history), self.weights(), search, genotype):
                _show(trainer, picture.stem, picture)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Says what was found and what trains it, each in one line however long: by now no progress bar would break it in two."""
        told = self.history and not trainer.interrupted and not _is_trial(trainer)
        if stage == "fit" and told and trainer.is_global_zero:
            data = getattr(trainer.datamodule, "name", "")  # type: ignore[attr-defined]
            genotype = Genotype.from_dict(self.genotypes[max(self.genotypes)])
            print(f"found {line(genotype, {})}  in {self.seconds:.0f} s: {Path(trainer.default_root_dir) / 'genotype.yaml'}")
            print(f"next: {next_command(trainer.default_root_dir, data)}", flush=True)


def next_command(folder: str, data: str) -> str:
    """What trains the cell in `folder`; a search on the embedded digits is followed by a training on them."""
    overlay = " --config digits.yaml" if data.lower() == "digits" else ""
    return f"robnas fit --config classify.yaml{overlay} --model.network={quote(folder)}"


def _is_trial(trainer: Trainer) -> bool:
    return bool(trainer.fast_dev_run)  # type: ignore[attr-defined]


def _search(module: LightningModule) -> "SupernetTask":
    return cast("SupernetTask", module)


def _show(trainer: Trainer, name: str, picture: Path) -> None:
    for logger in trainer.loggers:
        if hasattr(logger, "log_image"):
            logger.log_image(name, [str(picture)])
