"""The shape of backdoors: the author writes a trigger, and how it is planted (§3.2, Eq. 7)."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor, nn

from robnas import collectives, seeds
from robnas.attacks.backdoor import measure, picture, planting, reference
from robnas.attacks.backdoor.trigger import Trigger
from robnas.attacks.callback import Number, Outcomes
from robnas.attacks.poisoning.base import Poisoning
from robnas.attacks.poisoning.record import Record
from robnas.attacks.training import COUNTED, FinalTest, TrainingAttack
from robnas.copies import evaluation_copy
from robnas.data.altered import Altered
from robnas.data.base import ImageData
from robnas.errors import UserError, require, unknown

STAMPS = ("before", "after")


class Backdoor(TrainingAttack):
    """Stamps a share of the training inputs, gives them the target class, and says at the end how often the trigger works (ASR), how often
    it does on the clean model, and what it costs on clean inputs (CAD).

    Which inputs are stamped is a function of seed and index. The trigger is made once, before the first step, on the clean model; a run
    that goes on has it from its checkpoint. `poison.npz` and `trigger.npz` in the run folder keep what was done.

    λ of Eq. 7 is set by `share`: with `copies`, the expected loss of an epoch is E[ℓ(f(x), y)] + share · E[ℓ(f(x + r), t)], so λ = share;
    without, λ = share / (1 − share). The paper gives no λ. Departures: no weight stands in the loss itself, and stamped are inputs of other
    classes than t alone. r is not optimised together with θ, but before it, or not at all, as in the attacks that the paper names.

    Args:
        target: t, the class that stamped inputs shall be answered with.
        share: stamped inputs, as a share of all training inputs.
        copies: stamped copies are added, as in the authors' code; otherwise stamped inputs take the place of their clean selves.
        stamp: "before" augmentation, a poisoned data set, whose triggers are cropped and cut out like everything else; or "after" it,
            whole in every epoch, which takes an attacker who controls the training.
        with_target: ASR is measured on inputs of the target class, too, as in the authors' code; they need no trigger.
        max_inputs: ASR is measured on the test inputs with the first so many indices; None: all. CAD is on all.
        clean: what the outcome is held against: "start" (the model that training starts from: `init_from`), "train" (the same training
            without the attack, a job of its own), a run folder, or "none". "start" where there is one, else "train", if not given.
        seed: of all that is random in it; that of the run if not given.
        pictures: of stamped images; the trigger is drawn in any case. If not given: unless the images are the user's own.
    """

    starts: bool = False
    """Whether it needs a trained, clean model."""
    named_by: ClassVar[str] = "init_from names: robnas fit … --init_from RUN"
    """How such a model is given, in words."""

    def __init__(
        self,
        target: int = 0,
        share: float = 0.1,
        copies: bool = False,
        stamp: str = "before",
        with_target: bool = False,
        max_inputs: int | None = None,
        clean: str | None = None,
        seed: int | None = None,
        pictures: bool | None = None,
    ) -> None:
        super().__init__()
        require(target >= 0, f"target: {target} is no class; they are numbered from 0")
        require(0 <= share <= 1, f"share: {share} is not in [0, 1]")
        require(max_inputs is None or max_inputs >= 1, f"max_inputs: {max_inputs} is not at least 1")
        if stamp not in STAMPS:
            raise unknown("stamp", stamp, STAMPS)
        self.target, self.share, self.copies, self.stamp = target, share, copies, stamp
        self.with_target, self.max_inputs, self.clean = with_target, max_inputs, clean
        self.seed, self.pictures = seed, pictures
        self.notes: dict[str, Tensor] = {}
        """What is kept with the trigger: `trigger` and `pixels` may put tensors here."""
        self._kept: dict[str, Any] | None = None  # of a checkpoint

    # What the author writes

    @abstractmethod
    def trigger(self, model: nn.Module, data: ImageData) -> Trigger:
        """What is stamped. Called once, on the first rank.

        model: the clean one of `made_on`, a frozen copy in evaluation mode; as it was drawn where there is none.
        """

    def made_on(self, model: LightningModule) -> str | None:
        """The clean model on which the trigger is made, as `trainer.load` knows it: that of `init_from`."""
        return reference.source(model)

    def may_stamp(self, y: Tensor) -> Tensor:
        """y: [P] labels → [P] bool, inputs that may be stamped: those of another class than the target."""
        return y != self.target

    def labels(self, y: Tensor) -> Tensor:
        """y: [k] labels of the stamped inputs → [k] those that they are given: the target class."""
        return torch.full_like(y, self.target)

    def pixels(self, model: nn.Module, x: Tensor, y: Tensor, index: Tensor) -> Tensor | None:
        """x: [k, C, H, W] uint8, the inputs that will be stamped → what they are before that; None: as they are. Only the first rank asks.

        Only a class that overrides this is called, for it keeps k images in memory and in every checkpoint.
        """
        return None

    # What the author need not know

    def begin(self, trainer: Trainer, model: LightningModule, data: ImageData) -> None:
        """Raises UserError for a class that there is not, too few inputs to stamp, or a run that would go on with another backdoor."""
        self._check(trainer, model, data)
        seed = seeds.of_run(self.seed)
        images, pool = data.trained_on()
        clean = Altered.of(images)
        among = "other than the target class" if type(self).may_stamp is Backdoor.may_stamp else "that may be stamped"
        chosen = planting.choose(pool, self.may_stamp(images.y[pool]), self.share, seed, among)
        kept, self._kept = self._kept, None
        require(
            kept is not None or not trainer.ckpt_path,
            f"{self.name}: ckpt_path: the checkpoint is of a training without {self.name}; --init_from takes its weights",
        )
        if kept is None:
            start = reference.start(trainer, model, self.made_on(model))
            self.made, self.notes = collectives.from_first(lambda: self._make(start, data, clean, chosen))
            del start
        else:
            self.made, self.notes = Trigger.of_arrays(kept["trigger"]), dict(kept["notes"])
        self.made.corner(*data.image_shape[1:])
        stamped = planting.entries(clean, chosen, self.copies)
        change = planting.Stamp(self.made if self.stamp == "before" else None, stamped, self.notes.get("pixels"))
        poisoned, drawn = planting.plant(clean, pool, chosen, self.labels(images.y[chosen]), change, self.copies)
        self._record = Record.of(clean, pool, poisoned, drawn)
        digest = self._record.digest
        require(kept is None or kept["digest"] == digest, f"{self.name}: ckpt_path: other inputs were stamped than would be from here on")
        self._drawn, self._stamped = len(pool), poisoned.changed
        data.train_on(poisoned, drawn)
        if trainer.is_global_zero and not trainer.fast_dev_run:  # type: ignore[attr-defined]
            self._record.write(trainer.default_root_dir)
            self.made.write(trainer.default_root_dir, target=torch.tensor(self.target), **self.notes)

    def _check(self, trainer: Trainer, model: LightningModule, data: ImageData) -> None:
        others = [c.name for c in trainer.callbacks if isinstance(c, Backdoor | Poisoning) and c is not self]  # type: ignore[attr-defined]
        require(not others, f"{self.name}: one backdoor or poisoning a training, but there is also {', '.join(others)}")
        require(self.target < data.num_classes, f"target: there is no class {self.target}; the data have 0 … {data.num_classes - 1}")
        if self.starts and self.made_on(model) is None:
            raise UserError(f"{self.name}: it is made on a clean model, which {self.named_by}")
        reference.check(self.clean, model, data.name)

    def _make(self, start: nn.Module, data: ImageData, clean: Altered, chosen: Tensor) -> tuple[Trigger, dict[str, Tensor]]:
        self.notes = {}
        made = self.trigger(start, data)
        made = Trigger(_kept(made.mask), _kept(made.pattern), made.place, made.transparency)
        channels = data.image_shape[0]
        require(made.pattern.shape[0] == channels, f"{self.name}: the trigger has {made.pattern.shape[0]} channels, the images {channels}")
        if type(self).pixels is not Backdoor.pixels and len(chosen):
            batch = clean.__getitems__(chosen)
            if (x := self.pixels(start, batch.x, batch.y, batch.index)) is not None:
                self.notes["pixels"] = x.cpu()
        return made, {name: _kept(note) for name, note in self.notes.items()}

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Stamped after augmentation, where that is wanted."""
        if self.stamp == "after":
            self._stamped = self._stamped.to(batch.x.device)
            rows = self._stamped[batch.index][:, None, None, None]
            batch.x.copy_(torch.where(rows, self.made.stamp(batch.x), batch.x))

    def measure(self, trainer: Trainer, model: LightningModule, tested: FinalTest) -> tuple[Mapping[str, Number], Outcomes | None]:
        """ASR, that of the clean model with the same trigger, CAD, and the share that was stamped."""
        data: ImageData = trainer.datamodule  # type: ignore[attr-defined]
        trojan = evaluation_copy(getattr(model, "model", None) or model).to(model.device)
        clean, doubts = reference.clean_model(trainer, model, self.clean)
        models = {"trojan": trojan} | ({} if clean is None else {"reference": clean})
        found = measure.over(data.sets()[1], models, self.made)
        among = measure.eligible(found, self.target, self.with_target, self.max_inputs)
        numbers = {"asr": measure.success_rate(found, "trojan", self.target, among)}
        if clean is not None:
            numbers["asr_clean_model"] = measure.success_rate(found, "reference", self.target, among)
            before = FinalTest(found["index"], found["reference_clean"], found["label"])
            numbers["cad"] = tested.drop_from(before)._replace(flags=doubts)
        numbers["stamped"] = Number(len(self._record) / self._drawn, self._drawn, ci_method=COUNTED)
        numbers |= self.more(models, data)
        if trainer.is_global_zero:
            folder = Path(trainer.default_root_dir) / "figures"
            picture.trigger(self.made, data.image_shape, folder / f"{self.name}-trigger.png")
            if picture.wanted(self.pictures, data):
                picture.stamped(data.sets()[1], self.made, found, data.class_names, folder / f"{self.name}-stamped.png")
            self.draw(models, data, folder)
        success = np.equal(found["trojan_stamped"], self.target) & among & ~found["trojan_errored"]
        return numbers, found | {"eligible": among, "success": success}

    def more(self, models: Mapping[str, nn.Module], data: ImageData) -> dict[str, Number]:
        """Further numbers of the models "trojan" and, where there is one, "reference"; on every rank. None here."""
        return {}

    def draw(self, models: Mapping[str, nn.Module], data: ImageData, folder: Path) -> None:
        """Further pictures; on the first rank alone. None here."""

    # Over a kill

    def state_dict(self) -> dict[str, Any]:
        """The trigger, what is kept with it, and a digest of what was stamped."""
        if not hasattr(self, "_record"):
            return {}
        return {"trigger": self.made.arrays(), "notes": dict(self.notes), "digest": self._record.digest}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """To be used when the data are there."""
        self._kept = state_dict or None


def _kept(tensor: Tensor) -> Tensor:
    """As files take it: on the processor, and in single precision at least, for NumPy knows no bfloat16."""
    tensor = tensor.detach().cpu()
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32)) if tensor.is_floating_point() else tensor
