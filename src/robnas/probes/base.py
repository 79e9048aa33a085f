"""A probe explains: it looks at a model and some inputs, and names what it measured. It changes nothing."""

from __future__ import annotations

import time
from abc import abstractmethod
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from numpy.typing import NDArray
from torch import Tensor, nn

from robnas import results, seeds
from robnas.copies import digest, evaluation_copy
from robnas.data.base import ImageData, as_float
from robnas.errors import UserError, require, unknown
from robnas.results import Row

SPLITS = ("train", "validation", "test")
HOOKS = ("fit_start", "epoch_end", "fit_end", "test")


class Measurement:
    """`Measurement(sharpness=0.3, contour=picture)`: numbers by name, and pictures [H, W, 3] uint8 by name."""

    def __init__(self, **named: float | NDArray[np.uint8]) -> None:
        self.values = {k: float(v) for k, v in named.items() if not isinstance(v, np.ndarray)}
        self.pictures = {k: v for k, v in named.items() if isinstance(v, np.ndarray)}
        for name, picture in self.pictures.items():
            if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3:
                raise ValueError(f"picture {name!r}: {picture.dtype} {picture.shape}; uint8 [H, W, 3] is needed")


class Probe(Callback):
    """The author writes `measure`, and says on what and when by the attributes below or by init arguments of the same name.

    Attributes:
        n_samples: inputs that `measure` is given, drawn once for all models; the whole split if it has fewer.
        split: "train" (without augmentation), "validation" or "test".
        hooks: in `fit`, at which of "fit_start", "epoch_end", "fit_end"; "test" (`robnas probe`) always counts.
        name: of this block of a config; the class's own in small letters unless set.
    """

    n_samples: int = 512
    split: str = "train"
    hooks: tuple[str, ...] = ("fit_start", "fit_end")
    name: str

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.name = cls.__name__.lower()

    @abstractmethod
    def measure(self, model: nn.Module, x: Tensor, y: Tensor) -> Measurement:
        """Pure, needs no Trainer. model: a copy in evaluation mode, its weights frozen; x: [N, C, H, W] in [0, 1], y: [N]."""

    def check(self) -> None:
        """Raise UserError for an attribute out of range."""
        require(self.n_samples >= 1, f"n_samples: {self.n_samples} is not ≥ 1")
        if self.split not in SPLITS:
            raise unknown("split", self.split, SPLITS)
        for hook in self.hooks:
            if hook not in HOOKS:
                raise unknown("hook", hook, HOOKS)

    # Lightning's hooks

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Check before anything is trained."""
        self.check()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Before the first step; not where a run goes on."""
        if trainer.global_step == 0:
            self.look(trainer, pl_module, "fit_start")

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """After each epoch."""
        self.look(trainer, pl_module, "epoch_end")

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """After the last epoch."""
        self.look(trainer, pl_module, "fit_end")

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """`robnas probe`."""
        self.look(trainer, pl_module, "test")

    def look(self, trainer: Trainer, pl_module: LightningModule, hook: str) -> None:
        """Measure, if asked to at this hook; write rows, pictures and logs. Every rank has the same model and inputs; rank 0 writes."""
        if (hook != "test" and hook not in self.hooks) or not trainer.is_global_zero:
            return
        begin = time.perf_counter()
        x, y = self.inputs(trainer)
        with torch.inference_mode(False), torch.enable_grad():
            model = evaluation_copy(pl_module)
            found = self.measure(model, x.to(pl_module.device, copy=True), y.to(pl_module.device, copy=True))
        seconds = round(time.perf_counter() - begin, 3)
        at = f"epoch_{trainer.current_epoch}" if hook == "epoch_end" else hook
        store, origin = results.of_trainer(trainer)
        common: dict[str, Any] = {"victim": digest(model)} | origin | {"kind": "probe", "plugin": type(self).__name__.lower()}
        common |= {"params": results.init_arguments(self, Probe) | {"at": at}, "n": len(x), "seconds": seconds}
        store.write(Row(metric=metric, value=value, **common) for metric, value in found.values.items())
        for logger in trainer.loggers:
            logger.log_metrics({f"{self.name}/{metric}": value for metric, value in found.values.items()}, step=trainer.global_step)
        for name, picture in found.pictures.items():
            self._show(trainer, f"{self.name}-{name}-{at}", picture)

    def inputs(self, trainer: Trainer) -> tuple[Tensor, Tensor]:
        """x: [n_samples, C, H, W] in [0, 1], y: [n_samples]; equal on all ranks, for all models and at all hooks."""
        data: Any = getattr(trainer, "datamodule", None)
        if not isinstance(data, ImageData):
            raise UserError(f"{self.name}: inputs are drawn from a robnas data set; here the data are {type(data).__name__}")
        images, test = data.sets()
        train, validation = data.parts()
        of = {"train": (images, train), "validation": (images, validation), "test": (test, torch.arange(len(test.y)))}
        images, rows = of[self.split]
        if not len(rows):
            raise UserError(f"{self.name}: the {self.split} split of these data is empty")
        chosen = torch.randperm(len(rows), generator=seeds.generator("probe", self.split))[: self.n_samples]
        batch = as_float(images.__getitems__(rows[chosen.sort().values]), getattr(trainer.lightning_module, "dtype", torch.float32))
        return batch.x, batch.y

    def _show(self, trainer: Trainer, name: str, picture: NDArray[np.uint8]) -> None:
        from matplotlib.image import imsave

        folder = Path(trainer.default_root_dir) / "figures"
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{name}.png"
        imsave(path, picture)
        for logger in trainer.loggers:
            if hasattr(logger, "log_image"):
                logger.log_image(key=name, images=[str(path)])
