"""EMA: what is validated, tested and kept is a moving average of the weights that are trained (Polyak and Juditsky, 1992)."""

from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import WeightAveraging
from torch import Tensor
from torch.optim.swa_utils import PARAM_LIST, AveragedModel, get_ema_multi_avg_fn

from robnas.copies import evaluation_copy


class ExponentialAverage(WeightAveraging):
    """w̄ ← d · w̄ + (1 − d) · w after every step t, buffers included, from the weights after the first step (t = 1) on.

    d = min(decay, (1 + t) / (10 + t)), so that the first weights are soon forgotten: the `num_updates` of TensorFlow's
    `tf.train.ExponentialMovingAverage`, with which Inception was trained. A checkpoint keeps t.

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
        self._average_model = AveragedModel(evaluation_copy(pl_module), multi_avg_fn=self._move, use_buffers=True)
        if self._kept:
            self._average_model.load_state_dict(self._kept)
            self._kept = {}

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """A callback before this one may have saved the weights of a step that the average had not seen yet."""
        if trainer.global_step > self._latest_update_step:
            self.on_train_batch_end(trainer, pl_module, None, None, 0)

    def _move(self, average: PARAM_LIST, now: PARAM_LIST, _: Tensor | int) -> None:
        """In place; `_` is what `n_averaged` says too, but that one lies on the processor, where reading it waits for nothing."""
        assert self._average_model is not None
        decay = ramp(self.decay, int(self._average_model.n_averaged) + 1)
        get_ema_multi_avg_fn(decay)(average, now, _)  # type: ignore[no-untyped-call]


def ramp(decay: float, t: int) -> float:
    """Share of the average that step t ≥ 1 keeps."""
    return min(decay, (1 + t) / (10 + t))
