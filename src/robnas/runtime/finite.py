"""A loss or weights that are not numbers end the run, and the last good checkpoint stays."""

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
    The last step's loss says nothing of the weights that it leaves: losses of validation do, and the weights themselves are looked at
    before each checkpoint and at every epoch's end.
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
            self._look_at_weights(trainer, pl_module)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """What is logged with "loss" in its name."""
        if trainer.state.fn != "fit" or trainer.sanity_checking:
            return
        self._look(trainer)
        bad = sorted(k for k, v in trainer.callback_metrics.items() if "loss" in k and not bool(v.isfinite().all()))
        if said := [name for names in collectives.gather(bad) for name in names]:
            raise _diverged(f"{said[0]} is not finite", trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Before the checkpoint is chosen as the best; also where none is kept."""
        self._look(trainer)
        self._look_at_weights(trainer, pl_module)

    def _look_at_weights(self, trainer: Trainer, pl_module: LightningModule) -> None:
        good = [p.detach().isfinite().all().to(pl_module.device) for p in pl_module.parameters() if p.requires_grad]
        if not all(collectives.gather(not good or bool(torch.stack(good).all()))):
            raise _diverged("the weights are not finite", trainer)

    def _look(self, trainer: Trainer) -> None:
        if self._first_bad is None:
            return
        first, self._first_bad = min(collectives.gather(float(self._first_bad))), None
        if first < float("inf"):
            raise stopped(int(first), trainer.current_epoch)


def stopped(step: int, epoch: int) -> UserError:
    """What is said."""
    return UserError(f"the loss is not finite at step {step} (epoch {epoch}): {_ADVICE}")


_ADVICE = "stopped; the last good checkpoint is kept. A lower learning rate or a stronger gradient clip may help."


def _diverged(what: str, trainer: Trainer) -> UserError:
    return UserError(f"{what} after step {trainer.fit_loop.total_batch_idx} (epoch {trainer.current_epoch}): {_ADVICE}")


def _losses(outputs: Any, trainer: Trainer) -> list[Tensor]:
    if isinstance(outputs, Mapping):
        outputs = outputs.get("loss")
    if isinstance(outputs, Tensor):
        return [outputs]
    gathered = trainer.fit_loop.epoch_loop._results.values()  # sums over the epoch so far: one bad step spoils them
    return [v.value for v in gathered if v.is_tensor and "loss" in v.meta.name]
