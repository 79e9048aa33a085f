"""A run small enough to be killed and gone on with many times: `python small_run.py FOLDER [key=value …]`.

Dropout, batch norm, momentum, a schedule by epoch, a loss logged by step and by epoch, a metric with a state: what a resume can lose.
"""

import os
import signal
import sys
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, seed_everything
from torch import nn
from torch.nn.functional import cross_entropy
from torchmetrics.classification import MulticlassAccuracy


class SmallTask(LightningModule):
    def __init__(self, learning_rate: float = 0.05, break_at: int = -1) -> None:
        super().__init__()
        self.learning_rate, self.break_at = learning_rate, break_at
        self.network = nn.Sequential(nn.Flatten(), nn.Linear(768, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.3), nn.Linear(16, 10))
        self.train_accuracy, self.valid_accuracy = (MulticlassAccuracy(10, average="micro") for _ in range(2))
        self.seen: list[tuple[int, int, float]] = []

    def forward(self, x):
        return self.network(x)

    def training_step(self, batch, batch_idx):
        x, y, _ = batch
        logits = self(x)
        loss = cross_entropy(logits, y) * (torch.nan if self.global_step == self.break_at else 1)
        self.train_accuracy(logits, y)
        self.log("train/loss", loss.detach(), on_step=True, on_epoch=True, sync_dist=True, prog_bar=True)
        self.log("train/accuracy", self.train_accuracy, on_step=False, on_epoch=True, prog_bar=True)
        return loss

    def validation_step(self, batch, batch_idx):
        x, y, _ = batch
        logits = self(x)
        self.valid_accuracy(logits, y)
        self.log("valid/loss", cross_entropy(logits, y), sync_dist=True)
        self.log("valid/accuracy", self.valid_accuracy, prog_bar=True)

    def test_step(self, batch, batch_idx):
        self.log("test/loss", cross_entropy(self(batch[0]), batch[1]), sync_dist=True)

    def configure_optimizers(self) -> Any:
        sgd = torch.optim.SGD(self.parameters(), self.learning_rate, momentum=0.9)
        return [sgd], [torch.optim.lr_scheduler.CosineAnnealingLR(sgd, 3)]


class Kill(Callback):
    """As the machine would: without a word, at the end of a step, before anything can be saved. step < 0: in the validation after it."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if trainer.global_step == self.step and trainer.is_global_zero:
            os.kill(os.getpid(), signal.SIGKILL)

    def on_validation_start(self, trainer, pl_module):
        if trainer.global_step == -self.step:
            os.kill(os.getpid(), signal.SIGKILL)


def run(
    folder: Path, *, kill: int = 0, workers: int = 0, devices: int = 1, every: int = 4, steps: int = -1, epochs: int = 3, ckpt: str = ""
):
    """Trains on digits, 14 batches an epoch → the trainer and its task. `ckpt`: where to go on."""
    from robnas.data import Digits
    from robnas.runtime.checkpoints import Checkpoints
    from robnas.runtime.loggers import CSV
    from robnas.runtime.trainer import Trainer

    torch.set_num_threads(1)
    seed_everything(1, verbose=False)
    trainer = Trainer(
        max_epochs=epochs,
        max_steps=steps,
        accelerator="cpu",
        devices=devices,
        strategy="ddp" if devices > 1 else "auto",
        default_root_dir=str(folder),
        logger=[CSV(folder)],
        log_every_n_steps=3,
        callbacks=[Checkpoints(save_every_n_steps=every), *([Kill(kill)] if kill else [])],
    )
    task = SmallTask()
    trainer.fit(task, datamodule=Digits(batch_size=92, num_workers=workers), ckpt_path=ckpt or None)
    return trainer, task


if __name__ == "__main__":
    arguments = dict(a.split("=") for a in sys.argv[2:])
    trainer, task = run(Path(sys.argv[1]), **{k: v if k == "ckpt" else int(v) for k, v in arguments.items()})
    if trainer.is_global_zero:
        torch.save(task.state_dict(), Path(sys.argv[1]) / "end.pt")
