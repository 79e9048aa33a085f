"""What a user sees of a run: Lightning's bars on a terminal, one plain line an epoch elsewhere."""

import sys
import time
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ProgressBar, RichProgressBar


def on_terminal() -> bool:
    """Whether somebody is watching who can be shown bars."""
    return sys.stdout.isatty()


def progress() -> ProgressBar:
    """The one that fits."""
    return RichProgressBar(leave=False) if on_terminal() else PlainLines()


class PlainLines(ProgressBar):
    """`epoch 3/10  train/loss 1.204  valid/accuracy 0.873  12.1 s` for a log file or a pipe. Nothing for a test loop but its result."""

    def __init__(self) -> None:
        super().__init__()
        self._start, self._enabled = 0.0, True

    def enable(self) -> None:
        """Lightning enables rank 0's."""
        self._enabled = True

    def disable(self) -> None:
        """And disables the others'."""
        self._enabled = False

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """The epoch's time begins."""
        self._start = time.monotonic()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Also where a run goes on in mid-epoch."""
        self._start = time.monotonic()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """One line. The model's own hook comes after this one, so what it logs stands in the next line."""
        epochs = f"/{trainer.max_epochs}" if trainer.max_epochs and trainer.max_epochs > 0 else ""
        self._line(f"epoch {trainer.current_epoch + 1}{epochs}", self._shown(trainer, pl_module), time.monotonic() - self._start)

    def print(self, *args: Any, sep: str = " ", end: str = "\n") -> None:
        """For `LightningModule.print`."""
        if self._enabled:
            print(*args, sep=sep, end=end, flush=True)

    def _shown(self, trainer: Trainer, pl_module: LightningModule) -> dict[str, float]:
        """Losses and accuracies. `name_step` and `name_epoch` stand beside `name`, and say the same."""
        metrics = sorted(trainer.callback_metrics.items())
        return {k: float(v) for k, v in metrics if ("loss" in k or "acc" in k) and not k.endswith(("_step", "_epoch"))}

    def _line(self, what: str, numbers: dict[str, float], seconds: float) -> None:
        if self._enabled:
            print("  ".join([what, *(f"{k} {v:.4g}" for k, v in numbers.items()), f"{seconds:.1f} s"]), flush=True)
