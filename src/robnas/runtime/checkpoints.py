"""Which checkpoints a run keeps, and with which it goes on."""

import os
import shutil
from pathlib import Path
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint

from robnas.errors import require
from robnas.runtime.checkpoint_io import damage
from robnas.runtime.loggers import CSV

LAST, PREVIOUS, BEST = "last.ckpt", "previous.ckpt", "best.ckpt"
ACCURACY = "valid/accuracy"


class Checkpoints(Checkpoint):
    """Keeps `last.ckpt` and the one before it at every epoch's end, and the best on validation, in `<default_root_dir>/checkpoints`.

    A run that goes on from any of them ends with the same bits. What is logged goes on in the same way: means over the epoch that were
    half gathered, and the row that a kill may have kept from metrics.csv, are part of the checkpoint.

    Args:
        monitor: metric by which the best is chosen, where it is logged; None: only the last ones are kept. The default makes way for
            the metric that the model names in `best_by`, if it does.
        mode: "max" or "min".
        save_every_n_steps: also keep the last one in mid-epoch, each time so many batches are through; 0: at the epochs' ends alone.
    """

    def __init__(self, monitor: str | None = ACCURACY, mode: str = "max", save_every_n_steps: int = 0) -> None:
        require(mode in ("max", "min"), f"mode: {mode!r} is neither 'max' nor 'min'")
        require(save_every_n_steps >= 0, f"save_every_n_steps: {save_every_n_steps} is negative")
        self.monitor, self.mode, self.save_every_n_steps = monitor, mode, save_every_n_steps
        self.best: float | None = None
        self.best_model_path = ""
        self._pending: dict[str, Any] = {}
        self._is_best = False  # what is being saved

    # When

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int) -> None:
        """In mid-epoch; an epoch's last batch waits for the epoch's end, and so for validation."""
        loop, every = trainer.fit_loop.epoch_loop, self.save_every_n_steps
        if every and (loop.total_batch_idx + 1) % every == 0 and not loop.batch_progress.is_last_batch:
            self._save(trainer, loop._batches_that_stepped, complete=trainer._logger_connector.should_update_logs)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """After validation; Lightning calls this after the model's own hook, so that nothing of the epoch is missing."""
        if trainer.fast_dev_run:  # type: ignore[attr-defined]  # nothing is kept, and so nothing is the best
            return
        monitor = getattr(pl_module, "best_by", ACCURACY) if self.monitor == ACCURACY else self.monitor
        score = trainer.callback_metrics.get(monitor or "")
        better = score is not None and self._better(float(score))
        if better:
            assert score is not None
            self.best, self.best_model_path = float(score), str(self.folder(trainer) / BEST)
        self._is_best = better
        self._save(trainer, trainer.fit_loop.epoch_loop._batches_that_stepped - 1, complete=True)
        self._is_best = False
        if better and trainer.is_global_zero:
            share(self.folder(trainer) / LAST, self.folder(trainer) / BEST)

    def _better(self, score: float) -> bool:
        return self.best is None or (score > self.best if self.mode == "max" else score < self.best)

    # What

    def folder(self, trainer: Trainer) -> Path:
        """Where they lie."""
        return Path(trainer.default_root_dir) / "checkpoints"

    def _save(self, trainer: Trainer, step: int, complete: bool) -> None:
        """`complete`: the metrics of `step` are known and about to be logged."""
        if trainer.fast_dev_run:  # type: ignore[attr-defined]
            return
        row = {k: float(v) for k, v in trainer._logger_connector.metrics["log"].items()} if complete else {}
        self._pending = {"step": step, "row": row and {"epoch": trainer.current_epoch} | row}
        last = self.folder(trainer) / LAST
        if trainer.is_global_zero and last.is_file():
            share(last, last.with_name(PREVIOUS))
        trainer.save_checkpoint(last, weights_only=False)

    def state_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {"best": self.best, "best_model_path": self.best_model_path, "pending": self._pending, "is_best": self._is_best}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on from there."""
        self.best, self.best_model_path, self._pending = state_dict["best"], state_dict["best_model_path"], state_dict["pending"]
        self._is_best = state_dict.get("is_best", False)

    # Going on

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """A kill may have come between the saving of the last checkpoint and its becoming the best one, or after the last epoch: then no
        step comes, only the final test again.
        """
        source = Path(trainer.ckpt_path or "")
        if self._is_best and source.is_file():
            best = self.folder(trainer) / BEST
            if trainer.is_global_zero:
                best.parent.mkdir(parents=True, exist_ok=True)
                share(source, best)
            self.best_model_path = str(best)
        self._is_best = False
        # metrics.csv forgets what came after the checkpoint: it will come again.
        for logger in trainer.loggers:
            if self._pending and isinstance(logger, CSV):
                logger.go_on_after(self._pending["step"], self._pending["row"])


def choose(folder: Path, say: bool = True) -> Path | None:
    """The newest whole checkpoint in a folder of checkpoints; None where there is none. Prints one line where the newest is broken."""
    for name in (LAST, PREVIOUS):
        path = folder / name
        if not path.exists():
            continue
        if not (fault := damage(path)):
            return path
        if say:
            print(f"checkpoint {path}: {fault}; trying the one before it", flush=True)
    return None


def share(source: Path, target: Path) -> None:
    """`target` becomes what `source` is now, at once; the bytes are shared where the file system can."""
    if target.exists() and target.samefile(source):  # a rename to the same file would do nothing, and leave `new` behind
        return
    new = target.with_name(f".{target.name}.{os.getpid()}")
    new.unlink(missing_ok=True)
    try:
        new.hardlink_to(source)
    except OSError:
        shutil.copyfile(source, new)
    new.replace(target)
