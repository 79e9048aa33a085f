"""A probe explains: it looks at a model and some inputs, and names what it measured. It changes nothing."""

from __future__ import annotations

import time
from abc import abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities.seed import isolate_rng
from numpy.typing import NDArray
from torch import Tensor, nn

from robnas import batch_norm, collectives, provenance, seeds
from robnas.copies import digest, evaluation_copy
from robnas.data.base import ImageData, as_float
from robnas.errors import UserError, require, unknown
from robnas.probes import pictures
from robnas.results import Number, Row

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SPLITS = ("train", "validation", "test")
HOOKS = ("fit_start", "epoch_end", "fit_end", "test")


class Measurement:
    """What was measured, by name: `Measurement(sharpness=0.3, flatness=Number(0.8, n, (0.7, 0.9), "student"), contour=figure, grid=array)`.

    A float is a number as it is, about all inputs; a `Number` has an interval, an n or flags of its own. A matplotlib Figure and an array
    [H, W, 3] uint8 are pictures. Any other array is kept as numbers, in a file that the rows name as their `outcomes`.
    """

    def __init__(self, **named: float | Number | NDArray[Any] | Figure) -> None:
        self.numbers: dict[str, float | Number] = {}
        self.pictures: dict[str, NDArray[np.uint8] | Figure] = {}
        self.arrays: dict[str, NDArray[Any]] = {}
        for name, found in named.items():
            if isinstance(found, Number):
                self.numbers[name] = found
            elif isinstance(found, np.ndarray) and found.dtype != np.uint8:
                self.arrays[name] = found
            elif isinstance(found, np.ndarray):
                if found.ndim != 3 or found.shape[2] != 3:
                    raise ValueError(f"picture {name!r}: {found.dtype} {found.shape}; uint8 [H, W, 3] is needed")
                self.pictures[name] = found
            elif pictures.is_figure(found):
                self.pictures[name] = found
            else:
                self.numbers[name] = float(found)  # type: ignore[arg-type]

    @property
    def values(self) -> dict[str, float | None]:
        """The numbers without their intervals; None where there is none."""
        return {name: found.value if isinstance(found, Number) else found for name, found in self.numbers.items()}


class Probe(Callback):
    """The author writes `measure`, and says on what and when by the attributes below or by init arguments of the same name.

    Attributes:
        n_samples: inputs that `measure` is given, drawn once for all models; the whole split if it has fewer.
        split: "train" (without augmentation), "validation" or "test".
        hooks: in `fit`, at which of "fit_start", "epoch_end", "fit_end"; "test" (`robnas probe`) always counts.
        name: of this block of a config; the class's own in small letters unless set.
        rows: what the last verb found, on every rank.
    """

    n_samples: int = 512
    split: str = "train"
    hooks: tuple[str, ...] = ("fit_start", "fit_end")
    name: str
    rows: tuple[Row, ...] = ()

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.name = cls.__name__.lower()

    @abstractmethod
    def measure(self, model: nn.Module, x: Tensor, y: Tensor) -> Measurement:
        """Pure, needs no Trainer. model: a copy in evaluation mode, its weights frozen; x: [N, C, H, W] in [0, 1], y: [N].

        Torch's generators are seeded before, and afterwards as they were; gradients can be had, also inside `torch.inference_mode`.
        """

    def check(self) -> None:
        """Raise UserError for an attribute out of range."""
        require(self.n_samples >= 1, f"n_samples: {self.n_samples} is not ≥ 1")
        if self.split not in SPLITS:
            raise unknown("split", self.split, SPLITS)
        for hook in self.hooks:
            if hook not in HOOKS:
                raise unknown("hook", hook, HOOKS)

    def find(self, trainer: Trainer, model: nn.Module, device: torch.device) -> tuple[Measurement, int]:
        """`measure` on the inputs of this trainer's data → what it found, and n. For a probe that looks at more than a model and inputs."""
        x, y = self.inputs(trainer)
        return self.measure(model, x.to(device, copy=True), y.to(device, copy=True)), len(x)

    # Lightning's hooks

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Check before anything is trained."""
        self.check()
        if stage == "fit":
            self.rows = ()

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
        """Measure, if asked to at this hook; write rows, arrays, pictures and logs.

        Every rank has the same model and inputs: the first one measures, however long that takes, and the others are told what it found.
        """
        if hook == "test" or hook in self.hooks:
            found = collectives.from_first(lambda: self._look(trainer, pl_module, hook))
            self.rows = found if hook == "test" else (*self.rows, *found)

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
        dtype = getattr(trainer.lightning_module, "dtype", torch.float32)
        batch = as_float(images.__getitems__(rows[chosen.sort().values]), torch.float32 if _is_half(dtype) else dtype)
        return batch.x, batch.y

    def _look(self, trainer: Trainer, pl_module: LightningModule, hook: str) -> tuple[Row, ...]:
        begin = time.perf_counter()
        with torch.inference_mode(False), torch.enable_grad(), isolate_rng():
            torch.manual_seed(seeds.derive("probe", type(self).__name__))
            model = batch_norm.alone(evaluation_copy(pl_module))  # no other rank takes part
            named = digest(model)
            if _is_half(pl_module.dtype):  # of 16-bit weights the same function, without 16-bit noise in sums and differences
                model = model.float()
            found, n = self.find(trainer, model, pl_module.device)
        seconds = round(time.perf_counter() - begin, 3)
        at = f"epoch_{trainer.current_epoch}" if hook == "epoch_end" else hook
        store, origin = provenance.of_trainer(trainer)
        common: dict[str, Any] = {"victim": named} | origin | {"kind": "probe", "plugin": type(self).__name__.lower()}
        common |= {"params": provenance.init_arguments(self, Probe) | {"at": at}, "seconds": seconds}
        if found.arrays:
            where = provenance.outcomes_name(f"{self.name}-{at}", common["params"], *(common.get(k) for k in ("job", "victim", "dataset")))
            common["outcomes"] = store.write_outcomes(where, found.arrays, folder="figures")
        rows = tuple(_row(metric, number, n, common) for metric, number in found.numbers.items())
        store.write(rows)
        logged = {f"{self.name}/{row.metric}": row.value for row in rows if row.value is not None}
        for logger in trainer.loggers:
            logger.log_metrics(logged, step=trainer.global_step)
        for name, picture in found.pictures.items():
            path = pictures.save(picture, Path(trainer.default_root_dir) / "figures" / f"{self.name}-{name}-{at}.png")
            for logger in trainer.loggers:
                if hasattr(logger, "log_image"):
                    logger.log_image(key=path.stem, images=[str(path)])
        return rows


def _is_half(dtype: torch.dtype | str) -> bool:
    return dtype in (torch.float16, torch.bfloat16)


def require_weights(name: str, model: nn.Module) -> None:
    """Raise UserError where there is nothing to differentiate by. name: of the probe."""
    require(any(p.is_floating_point() and p.numel() for p in model.parameters()), f"{name}: the model has no weights")


def _row(metric: str, found: float | Number, n: int, common: dict[str, Any]) -> Row:
    number = found if isinstance(found, Number) else Number(found, n)
    return Row(metric=metric, **number._replace(flags=list(number.flags))._asdict(), **common)  # type: ignore[arg-type]
