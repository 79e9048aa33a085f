"""Trainings of a moment with something done to them: small images of four colours that a network tells apart within an epoch or two."""

from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback

from robnas.data.base import ImageData, Images
from robnas.runtime.loggers import CSV
from robnas.runtime.trainer import Trainer
from robnas.tasks import Classifier

QUIET = {"enable_progress_bar": False, "accelerator": "cpu", "devices": 1, "num_sanity_val_steps": 0}
SMALL = {"network": "resnet", "size": "tiny", "options": {"depth": 10, "width": 4}}


class Colours(ImageData):
    """Noise around one of four colours; 200 to train, 40 of them to validate, 40 to test."""

    name = "Colours"
    num_classes = 4
    image_shape = (3, 8, 8)
    class_names = ("red", "green", "blue", "grey")
    mean = (0.5, 0.5, 0.5)
    std = (0.2, 0.2, 0.2)
    synthetic = True

    def load(self):
        generator = torch.Generator().manual_seed(0)
        y = torch.arange(240) % 4
        level = torch.tensor([[200, 60, 60], [60, 200, 60], [60, 60, 200], [120, 120, 120]])[y]
        x = (level[:, :, None, None] + torch.randint(-40, 41, (240, 3, 8, 8), generator=generator)).to(torch.uint8)
        return Images(x[:200], y[:200]), Images(x[200:], y[200:])


def colours(**arguments: Any) -> Colours:
    return Colours(**{"batch_size": 32, "seed": 0, "validation": 0.2} | arguments)


def fit(folder: Path | str, *callbacks: Any, data: Any = None, ckpt: str | None = None, model: Any = None, **arguments: Any):
    """Three epochs of five steps → trainer, model, data."""
    settings = {"max_epochs": 3, "default_root_dir": str(folder), "logger": [CSV(folder)], "callbacks": list(callbacks)}
    trainer = Trainer(**settings | QUIET | arguments)
    model, data = model or Classifier(**SMALL, learning_rate=0.1), data or colours()
    trainer.fit(model, datamodule=data, ckpt_path=ckpt)
    return trainer, model, data


def same(a, b) -> bool:
    """Bits of two models."""
    a, b = a.state_dict(), b.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


class Stop(BaseException):
    """Stands for a kill."""


class StopAt(Callback):
    def __init__(self, step):
        self.step = step

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if trainer.global_step == self.step:
            raise Stop
