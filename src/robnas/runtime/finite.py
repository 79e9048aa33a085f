"""A loss that is not a number ends the run at once, and the last good checkpoint stays."""

from collections.abc import Mapping
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from robnas import collectives
from robnas.errors import UserError


class FiniteLoss(Callback):
    """Raises UserError that names the step. On one CPU every step is looked at; else every `every` steps and before each checkpoint.

    Looking makes the processor wait for the device, and the ranks for each other; the first bad step is remembered on the device.
    """

    def __init__(self, every: int = 50) -> None:
        self.every = every
        self._first_bad: Tensor | None = None

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int) -> None:
        """outputs: the loss, or a mapping with "loss"; where a task returns neither, what it logs under a name with "loss" in it."""
        step, losses = trainer.fit_loop.total_batch_idx, _losses(outputs, trainer)
        if trainer.world_size == 1 and pl_module.device.type == "cpu":  # nobody is waited for, and a look costs microseconds
            if not all(bool(x.detach().isfinite().all()) for x in losses):
                raise stopped(step, trainer.current_epoch)
            return
        good = torch.stack([x.detach().isfinite().all() for x in losses]).all() if losses else torch.tensor(True)
        now = torch.where(good, torch.inf, float(step)).to(pl_module.device)
        self._first_bad = now if self._first_bad is None else torch.minimum(self._first_bad, now)
        if (step + 1) % self.every == 0:
            self._look(trainer)

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Nothing is saved after a bad step."""
        if trainer.training:
            self._look(trainer)

    def _look(self, trainer: Trainer) -> None:
        if self._first_bad is None:
            return
        first, self._first_bad = min(collectives.gather(float(self._first_bad))), None
        if first < float("inf"):
            raise stopped(int(first), trainer.current_epoch)


def stopped(step: int, epoch: int) -> UserError:
    """What is said."""
    return UserError(
        f"the loss is not finite at step {step} (epoch {epoch}): stopped; "
        f"the last good checkpoint is kept. A lower learning rate or a stronger gradient clip may help."
    )


def _losses(outputs: Any, trainer: Trainer) -> list[Tensor]:
    if isinstance(outputs, Mapping):
        outputs = outputs.get("loss")
    if isinstance(outputs, Tensor):
        return [outputs]
    gathered = trainer.fit_loop.epoch_loop._results.values()  # sums over the epoch so far: one bad step spoils them
    return [v.value for v in gathered if v.is_tensor and "loss" in v.meta.name]
