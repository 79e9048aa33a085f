"""The shape of poisoning: the author writes one method, clean training set → poisoned training set (§3.2, Eq. 6)."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor

from robnas import seeds
from robnas.attacks.callback import Number, Outcomes
from robnas.attacks.poisoning import clean as twin
from robnas.attacks.poisoning.parts import Parts, plain
from robnas.attacks.poisoning.record import FILE, Record
from robnas.attacks.training import COUNTED, FinalTest, TrainingAttack
from robnas.attacks.training_loss import answers
from robnas.data.altered import Altered
from robnas.data.base import ImageData
from robnas.data.batch import Batch
from robnas.errors import UserError, require


class Poisoning(TrainingAttack):
    """Applies `poison` once, alike on every rank, keeps what it did in `poison.npz`, and says at the end what that cost (CAD, Eq. 11).

    The training part alone is poisoned; validation and test data stay clean. After every epoch the loss of flipped and of clean inputs is
    logged (`poison/loss_flipped`, …; §4.2), and at the end drawn: un-augmented, but for frozen images.

    Args:
        seed: of all that is random in it; that of the run if not given.
        clean: what CAD is measured against: "train" (the same training without attacks and defences, a job of its own that all rates
            share), a run folder, or "none".
        freeze: poisoned images are augmented once, as in the first epoch, and so in all later ones, as in the authors' code;
            otherwise anew in every epoch, as clean ones are. Costs a wait for the device in every step.
        watched: inputs of each part whose loss is measured after every epoch, at most; 0: none.
    """

    def __init__(self, seed: int | None = None, clean: str = twin.TRAIN, freeze: bool = False, watched: int = 1000) -> None:
        super().__init__()
        require(watched >= 0, f"watched: {watched} is negative")
        self.seed, self.clean, self.freeze, self.watched = seed, clean, freeze, watched
        self.history: dict[int, dict[str, float]] = {}
        """By epoch, what was logged of it."""
        self._kept: dict[str, Any] | None = None  # of a checkpoint
        self._ended: tuple[Tensor, Tensor] | None = None  # loss and prediction of the parts after the last epoch

    @abstractmethod
    def poison(self, clean: Altered, pool: Tensor, classes: int, seed: int) -> tuple[Altered, Tensor]:
        """The training set and pool: [P], the entries of it that training draws → the same of the poisoned one. Pure."""

    # What the author need not know

    def begin(self, trainer: Trainer, model: LightningModule, data: ImageData) -> None:
        """Raises UserError where a run that goes on would not be poisoned as it was."""
        others = [c.name for c in trainer.callbacks if isinstance(c, Poisoning) and c is not self]  # type: ignore[attr-defined]
        require(not others, f"{self.name}: one poisoning a training, but there is also {', '.join(others)}")
        twin.check(self.clean, data.name)
        images, pool = data.trained_on()
        before = images if isinstance(images, Altered) else Altered.of(images)
        poisoned, drawn = self.poison(before, pool, data.num_classes, seeds.of_run(self.seed))
        self._data, self._poisoned, self._drawn = data, poisoned, drawn
        self._touched, self._parts = poisoned.touched, Parts.of(poisoned, drawn, self.watched, seeds.of_run(self.seed))
        self._record = Record.of(before, pool, poisoned, drawn)
        self._go_on(trainer)
        data.train_on(poisoned, drawn)

    def _go_on(self, trainer: Trainer) -> None:
        folder, (kept, self._kept) = Path(trainer.default_root_dir), (self._kept, None)
        self.history, self._ended = {}, None
        if trainer.ckpt_path:
            require(
                kept is not None,
                f"{self.name}: ckpt_path: the checkpoint is of a training without {self.name}; --init_from takes its weights",
            )
            assert kept is not None
            there = Record.read(folder).digest if (folder / FILE).is_file() else kept["digest"]
            if not kept["digest"] == there == self._record.digest:
                raise UserError(f"{self.name}: ckpt_path: the training set was poisoned in another way than it would be from here on")
            self.history, self._ended = dict(kept["history"]), kept["ended"]
        if trainer.is_global_zero and not trainer.fast_dev_run:  # type: ignore[attr-defined]
            self._record.write(folder)

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Frozen images are given back their one augmentation."""
        if self.freeze:
            self._augment_once(batch.x, batch.index)

    def _augment_once(self, x: Tensor, index: Tensor) -> None:
        """x: [B, C, H, W] in [0, 1], in place: poisoned ones as in the first epoch, a function of seed and index, so that none is kept."""
        index = index.cpu()
        rows = self._touched[index].nonzero().squeeze(1)
        if len(rows) and self._data.augment:
            clean = Batch(*(part.to(x.device) for part in self._poisoned.__getitems__(index[rows])))
            x[rows.to(x.device)] = self._data.augmented(clean, 0, x.dtype).x

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """How well both parts are fitted by now."""
        if not len(self._parts.index):
            return
        amend = self._augment_once if self.freeze else None  # of frozen images there is no other
        self._ended = answers(trainer, pl_module, self._data, self._poisoned, self._parts.index, amend)
        numbers = plain(self._parts.numbers(*self._ended))
        self.history[trainer.current_epoch] = numbers
        pl_module.log_dict({f"poison/{name}": value for name, value in numbers.items()}, sync_dist=True)  # equal on all ranks

    def measure(self, trainer: Trainer, model: LightningModule, tested: FinalTest) -> tuple[Mapping[str, Number], Outcomes | None]:
        """CAD, what share was poisoned, and the loss of both parts after the last epoch."""
        cad, before = twin.drop(trainer, self.clean, tested)
        numbers = {} if cad is None else {"cad": cad}
        numbers["poisoned"] = Number(len(self._record) / len(self._drawn), len(self._drawn), ci_method=COUNTED)
        if self._ended is not None:
            flags = ("of the weights before they are averaged",) if getattr(model, "ema", 0) else ()
            numbers |= {name: number._replace(flags=flags) for name, number in self._parts.numbers(*self._ended).items()}
        if trainer.is_global_zero and self.history:
            from robnas.attacks.poisoning.picture import draw

            draw(self.history, self.name, Path(trainer.default_root_dir) / "figures" / f"{self.name}.svg")
        outcomes = {"index": tested.index, "correct": tested.correct}
        return numbers, outcomes if before is None else outcomes | {"clean_correct": before.correct}

    # Over a kill

    def state_dict(self) -> dict[str, Any]:
        """What was poisoned, as a digest, and what was measured."""
        ended = None if self._ended is None else tuple(part.to(torch.float64) for part in self._ended)
        return {"digest": self._record.digest, "history": self.history, "ended": ended} if hasattr(self, "_record") else {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """To be compared when the data are there."""
        self._kept = state_dict or None
