"""EMA: what is validated, tested and kept is a moving average of the weights that are trained (Polyak and Juditsky, 1992)."""

from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import WeightAveraging
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from robnas.copies import evaluation_copy


class ExponentialAverage(WeightAveraging):
    """w̄ ← decay · w̄ + (1 − decay) · w after every step, buffers included, from the weights after the first step on.

    Lightning's own callback: a checkpoint's `state_dict` is the average, and its `current_model_state` what training goes on with. Its
    average is made before the network is, in single precision and on the processor; ours when training starts, from what is there then.
    """

    def __init__(self, decay: float) -> None:
        super().__init__()
        self.decay = decay
        self._kept: dict[str, Any] = {}

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Nothing is there yet."""

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """The average has been loaded into the module, which is all that is wanted outside of training."""
        if trainer.state.fn == "fit" and "current_model_state" in checkpoint:
            self._kept = {f"module.{name}": value for name, value in checkpoint["state_dict"].items()} | checkpoint["averaging_state"]
            pl_module.load_state_dict(checkpoint["current_model_state"])

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """The network is built, in its precision and on its device."""
        average = get_ema_multi_avg_fn(self.decay)  # type: ignore[no-untyped-call]
        self._average_model = AveragedModel(evaluation_copy(pl_module), multi_avg_fn=average, use_buffers=True)
        if self._kept:
            self._average_model.load_state_dict(self._kept)
            self._kept = {}

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """A callback before this one may have saved the weights of a step that the average had not seen yet."""
        if trainer.global_step > self._latest_update_step:
            self.on_train_batch_end(trainer, pl_module, None, None, 0)
