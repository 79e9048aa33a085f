"""What a user sees of a run: a line an epoch, and on a terminal a bar below it for the epoch that runs."""

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
    return Bars() if on_terminal() else PlainLines()


class EpochLines(ProgressBar):
    """`epoch 3/10  train/loss 1.204  valid/accuracy 0.873  12.1 s` when an epoch is through."""

    _start = 0.0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Also where a run goes on in mid-epoch."""
        super().on_train_start(trainer, pl_module)
        self._start = time.monotonic()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Losses and accuracies, and what callbacks have to add by a method `line`.

        The model's own hook comes after this one: what it logs there is not in the line.
        """
        super().on_train_epoch_end(trainer, pl_module)
        epochs = f"/{trainer.max_epochs}" if trainer.max_epochs and trainer.max_epochs > 0 else ""
        now = time.monotonic()
        numbers = [f"{k} {float(v):.4g}" for k, v in sorted(trainer.callback_metrics.items()) if of_an_epoch(k)]
        words = [c.line(pl_module) for c in trainer.callbacks if hasattr(c, "line")]  # type: ignore[attr-defined]
        self.print("  ".join([f"epoch {trainer.current_epoch + 1}{epochs}", *numbers, *filter(None, words), f"{now - self._start:.1f} s"]))
        self._start = now


class PlainLines(EpochLines):
    """For a log file or a pipe. Of a test loop there is only its result."""

    def __init__(self) -> None:
        super().__init__()
        self._enabled = True

    def enable(self) -> None:
        """Lightning enables rank 0's."""
        self._enabled = True

    def disable(self) -> None:
        """And disables the others'."""
        self._enabled = False

    def print(self, *args: Any, sep: str = " ", end: str = "\n", **kwargs: Any) -> None:
        """For `LightningModule.print` too."""
        if self._enabled:
            print(*args, sep=sep, end=end, flush=True)


class Bars(EpochLines, RichProgressBar):
    """Lightning's, with a history above it; the bar keeps to one line."""

    def get_metrics(self, trainer: Trainer, pl_module: LightningModule) -> dict[str, Any]:
        """What the lines do not say."""
        return {k: v for k, v in super().get_metrics(trainer, pl_module).items() if k != "v_num" and not of_an_epoch(k)}

    def _get_train_description(self, current_epoch: int) -> str:
        """Lightning counts from 0; people, and the lines above the bar, from 1."""
        last = self.trainer.max_epochs or -1
        return f"epoch {current_epoch + 1}{f'/{last}' if last > 0 else ''}".ljust(len(self.validation_description))


def of_an_epoch(name: str) -> bool:
    """Whether a metric belongs into an epoch's line. `name_step` and `name_epoch` stand beside `name`, and say the same."""
    return ("loss" in name or "acc" in name) and not name.endswith(("_step", "_epoch"))
