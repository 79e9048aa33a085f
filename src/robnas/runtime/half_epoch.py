"""What an epoch has gathered so far, kept in the checkpoint, so that its mean is the same after a kill in the middle of it."""

from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor
from torchmetrics import Metric

from robnas import collectives

KEY = "half_epoch"


class HalfEpoch(Callback):
    """Lightning restores weights and progress, but starts the sums behind `log(…, on_epoch=True)` and torchmetrics at zero."""

    def __init__(self) -> None:
        self._sums: dict[str, dict[str, Tensor]] = {}
        self._metrics: dict[str, dict[str, Any]] = {}

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Every rank's own sums. After an epoch's last batch there is nothing to keep."""
        if trainer.state.fn != "fit" or trainer.fit_loop.epoch_loop.batch_progress.is_last_batch:
            return
        results = trainer.fit_loop.epoch_loop._results
        sums = {k: _state(v) for k, v in results.items() if v.is_tensor and v.meta.on_epoch and not v.has_reset}
        metrics = {k: _state(m) | {"_update_count": m._update_count} for k, m in _metrics(pl_module).items() if m._update_count}
        checkpoint[KEY] = collectives.gather({"sums": sums, "metrics": metrics})

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """With another number of ranks than before, the sums begin at zero."""
        kept = checkpoint.get(KEY, [])
        if len(kept) == collectives.world_size():
            self._sums, self._metrics = (kept[collectives.rank()][part] for part in ("sums", "metrics"))

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """torchmetrics take up their state."""
        for name, metric in _metrics(pl_module).items():
            for key, value in self._metrics.get(name, {}).items():
                setattr(metric, key, _to(value, pl_module.device))
        self._metrics = {}

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Lightning's sums exist from the first `log` on. a + b = b + a also in floating point, so the bits are the same."""
        results = trainer.fit_loop.epoch_loop._results
        for key in [k for k in self._sums if k in results]:
            metric, kept = results[key], self._sums.pop(key)
            combine = metric.meta.reduce_fx if metric.meta.is_max_reduction or metric.meta.is_min_reduction else torch.add
            for name, value in kept.items():
                setattr(metric, name, combine(getattr(metric, name), value.to(pl_module.device)))
            metric._computed = None


def _metrics(module: LightningModule) -> dict[str, Metric]:
    return {name: m for name, m in module.named_modules() if isinstance(m, Metric)}


def _state(metric: Metric) -> dict[str, Any]:
    return {name: _to(getattr(metric, name), torch.device("cpu")) for name in metric._defaults}


def _to(value: Any, device: torch.device) -> Any:
    if isinstance(value, Tensor):
        return value.detach().to(device).clone()
    return [_to(v, device) for v in value] if isinstance(value, list) else value
