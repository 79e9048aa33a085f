"""Randomness inside a step (dropout, say) is a function of the step, so that a killed run goes on bit for bit."""

from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from robnas import seeds


class StepSeed(Callback):
    """Seeds torch's generators, of the device that trains and of the processor, at the start of each training batch.

    Args:
        seed: that of `seed_everything` if not given.
    """

    def __init__(self, seed: int | None = None) -> None:
        self.seed = seed

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """By seed, epoch, batch and rank: ranks see different inputs and draw different noise."""
        seed = seeds.derive(seeds.of_run(self.seed), "step", trainer.current_epoch, batch_idx, trainer.global_rank)
        if pl_module.device.type == "cpu":  # `torch.manual_seed` would note three stack traces, for devices that may begin to be used later
            torch.default_generator.manual_seed(seed)
        else:
            torch.manual_seed(seed)
