"""What a search did: α and weights at every epoch, kept over a resume, written and drawn at the end."""

from collections.abc import Mapping
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from robnas import atomic
from robnas.search.figures import draw_weights, save
from robnas.space.genotype import Genotype
from robnas.space.search_space import CELL_KINDS, Space

if TYPE_CHECKING:
    from robnas.tasks.search import Search


class Chronicle(Callback):
    """Keeps α and the operations' weights as they stood at the start of every epoch, and at the end.

    It looks at the first batch of an epoch and not at the epoch's end, as Lightning leaves the latter out where a run goes on from a
    checkpoint of an epoch's last batch.
    """

    def __init__(self) -> None:
        self.history: dict[int, dict[str, Tensor]] = {}
        """epoch → {"normal/alpha", "normal/weights", "reduce/alpha", "reduce/weights"}, each [E, O] on the CPU."""

    def state_dict(self) -> dict[str, Any]:
        """Plain: {epoch: {name: tensor}}."""
        return {"history": self.history}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on from there."""
        self.history = dict(state_dict["history"])

    def record(self, epoch: int, search: "Search") -> None:
        """Once an epoch; a second time changes nothing."""
        if epoch not in self.history:
            now = {f"{kind}/alpha": a.detach().cpu().clone() for kind, a in search.searcher.alpha.items()}
            self.history[epoch] = now | {f"{kind}/weights": w.cpu().clone() for kind, w in search.searcher.weights().items()}

    def weights(self) -> dict[str, Tensor]:
        """Per kind of cell [T, E, O], T = `sorted(self.history)`."""
        return {kind: torch.stack([self.history[e][f"{kind}/weights"] for e in sorted(self.history)]) for kind in CELL_KINDS}

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """α as the last epoch left it."""
        self.record(trainer.current_epoch, pl_module)  # type: ignore[arg-type]

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Writes genotype.yaml and figures/{cells,alpha}.{svg,png} into the run folder; loggers that take pictures get them.

        Not `on_train_end`: Lightning leaves that out where a run goes on from its very last checkpoint.
        """
        if trainer.interrupted or not self.history:
            return
        search: Search = pl_module  # type: ignore[assignment]
        # Not current_epoch: the checkpoint of an epoch's end does not count that epoch as completed yet.
        self.record(trainer.fit_loop.epoch_progress.current.processed, search)  # type: ignore[attr-defined]
        if trainer.is_global_zero:
            folder, genotype = Path(trainer.default_root_dir), search.searcher.derive()
            folder.mkdir(parents=True, exist_ok=True)
            atomic.write(folder / "genotype.yaml", genotype.to_yaml())
            for picture in draw_search(folder / "figures", sorted(self.history), self.weights(), search.space, genotype):
                for logger in trainer.loggers:
                    if hasattr(logger, "log_image"):
                        logger.log_image(picture.stem, [str(picture)])

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Says what trains the cell, in one line however long: by now no progress bar stands in the way, which would break it in two."""
        if stage == "fit" and self.history and not trainer.interrupted and trainer.is_global_zero:
            data = getattr(trainer.datamodule, "name", "")  # type: ignore[attr-defined]
            print(f"next: {next_command(trainer.default_root_dir, data)}", flush=True)


def draw_search(folder: Path, epochs: list[int], weights: Mapping[str, Tensor], space: Space, genotype: Genotype) -> list[Path]:
    """cells.{svg,png} and alpha.{svg,png} in `folder` → the two .png."""
    from robnas.space.drawing import draw

    folder.mkdir(parents=True, exist_ok=True)
    draw(genotype, folder / "cells")
    save(draw_weights(epochs, weights, space, genotype), folder / "alpha")
    return [folder / "cells.png", folder / "alpha.png"]


def next_command(folder: str, data: str) -> str:
    """What trains the cell in `folder`; a search on the embedded digits is followed by a training on them."""
    overlay = " --config digits.yaml" if data.lower() == "digits" else ""
    return f"robnas fit --config classify.yaml{overlay} --model.network={quote(folder)}"
