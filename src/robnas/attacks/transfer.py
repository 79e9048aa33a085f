"""Transfer (Papernot et al., 2016): adversarial images are made on one model, the source, and shown to others, the targets."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor, nn

from robnas import jobs
from robnas.attacks.base import Evasion
from robnas.attacks.callback import Attack, Outcomes, Part
from robnas.attacks.pgd import PGD
from robnas.attacks.result import EvasionResult
from robnas.attacks.transferred import Transferred
from robnas.attacks.unfinished import Unfinished
from robnas.attacks.victim import Victim, same
from robnas.copies import digest_of_state
from robnas.errors import UserError, require


class Transfers(dict[str, Transferred]):
    """Target → what the images did to it. `source`: what they did to the model that they were made on."""

    def __init__(self, source: EvasionResult, found: Mapping[str, Transferred]) -> None:
        super().__init__(found)
        self.source, self.seconds = source, source.seconds

    def outcomes(self) -> dict[str, Tensor]:
        """Those of the source, and `targets_broken`: [N] how many targets break, of those that had the clean image right."""
        broken = [(r.success & r.eligible & ~r.errored).long() for r in self.values()]
        return self.source.outcomes() | {"targets_broken": sum(broken, torch.zeros_like(self.source.label))}


@dataclass(frozen=True)
class Target:
    """A model to be shown the images. about: what rows say of it."""

    victim: Victim
    about: dict[str, Any]


class Transfer(Attack):
    """Every RUN of a command in turn is the source; the targets are all RUNs, itself among them, where white-box success stands.

    Rows: `transfer`, of the inputs that both source and target get right, how many the image breaks in the target; `transfer_of_success`,
    of those among them that broke the source; `source_asr`, how many of the same inputs did; `transfer_raw`, of all that was attacked on
    the source, also where the target had it wrong without any attack. The image is the one that the attack ended with, whether it broke
    the source or not. With a targeted goal the class wanted is the source's choice, and a target breaks where it answers that very class.

    An attack whose inputs leave as soon as they have succeeded ends just across the source's boundary, where hardly any other model errs:
    what transfers is measured with images that took all their steps (`exact: true` of PGD).

    Each target is read once before anything is computed and kept, one copy, where the source is: memory grows with their number, and not
    with that of inputs.

    Args:
        attack: any evasion, which makes the images; if not given, PGD of 20 steps that are all taken.
        targets: run folders, checkpoints, exports, or whatever else `robnas.load` takes; all RUNs of the command if not given. Rows name
            them by job and weights: a path is no identity.
    """

    errs = "source or target gave no numbers (NaN)"

    def __init__(self, attack: Evasion | None = None, targets: list[str] | None = None) -> None:
        super().__init__()
        self.attack = PGD(steps=20, n_restarts=1, exact=True, loss="log_odds") if attack is None else attack
        self.targets = targets
        self.max_inputs, self.norm = self.attack.max_inputs, self.attack.norm
        self._targets: dict[str, Target] = {}

    @property
    def access(self) -> str:  # type: ignore[override]
        """To the source; of targets nothing is asked."""
        return self.attack.access

    def prepare(self, model: nn.Module | Victim) -> Victim:
        """As the attack does."""
        return self.attack.prepare(model)

    def __call__(
        self,
        model: nn.Module | Victim,
        x: Tensor,
        y: Tensor | None = None,
        index: Tensor | None = None,
        seed: int = 0,
        batch_size: int = 256,
        targets: Mapping[str, nn.Module | Victim] | Iterable[nn.Module | Victim] = (),
    ) -> Transfers:
        """Arguments of `Evasion.__call__`, model being the source → what the images do to each target; "0", "1", … without names.

        Raises UserError where a target has other classes than the source, or does not answer with logits.
        """
        named = dict(targets) if isinstance(targets, Mapping) else {str(i): target for i, target in enumerate(targets)}
        with torch.inference_mode(False), torch.no_grad():
            source = self.prepare(model)
            twins = {name: Victim.prepare(target, fast=False) for name, target in named.items()}
            _require_same_classes(source, twins, x)
            r = self.attack(source, x, y, index, seed, batch_size)
            found = {name: self._judge(r, x, source, twin, batch_size) for name, twin in twins.items()}
        return Transfers(r, found)

    def _judge(self, r: EvasionResult, x: Tensor, source: Victim, target: Victim, batch_size: int) -> Transferred:
        begin = time.perf_counter()
        some = x[:64]  # a task may do more than its network: equal answers are asked for too
        if same_network(source, target) and same(target.judge(target.take(some)), source.judge(source.take(some))):
            return Transferred.itself(r)
        found = Transferred.judged(r, target, x, getattr(self.attack, "confidence", 0.0), batch_size)
        found.seconds += time.perf_counter() - begin
        return found

    # In the test loop

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Read the targets, and refuse what is none, before anything is computed."""
        self._targets = self._read(trainer, pl_module)
        super().on_test_start(trainer, pl_module)
        others = {"targets": [target.about for target in self._targets.values()]}
        self._unfinished = Unfinished.of(trainer, self.name, self.arguments() | others, self._victim.digest)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Let the copies go."""
        super().teardown(trainer, pl_module, stage)
        self._targets = {}

    def parts(self) -> dict[str, Part]:
        """One for each target, with no flags of another's."""

        def own(name: str) -> Callable[[list[str]], list[str]]:
            return lambda flags: [f for f in flags if not f.startswith("target ") or f.startswith(f"target {name}: ")]

        return {f"{self.name}/{k}": Part(f"{self.name}.{k}", self, {"target": t.about}, own(k)) for k, t in self._targets.items()}

    def results(self, victim: Victim, x: Tensor, y: Tensor, index: Tensor, seed: int) -> Mapping[str, Transferred]:
        """Of some inputs, for each target."""
        found = self(victim, x, y, index, seed, targets={name: target.victim for name, target in self._targets.items()})
        victim.flags |= {f"target {name}: {flag}" for name, target in self._targets.items() for flag in target.victim.flags}
        return {f"{self.name}/{name}": r for name, r in found.items()}

    def proportions(self, outcomes: Outcomes) -> dict[str, tuple[int, int]]:
        """On one target. See the class."""
        broken, of_source, fine = outcomes["success"], outcomes["source_success"], ~outcomes["errored"]
        both, attacked = outcomes["eligible"] & fine, outcomes["attacked"] & fine
        among = {"transfer": (broken, both), "transfer_of_success": (broken, both & of_source)}
        among |= {"source_asr": (of_source, both), "transfer_raw": (broken, attacked)}
        return {name: (int((hit & some).sum()), int(some.sum())) for name, (hit, some) in among.items()}

    def arguments(self) -> dict[str, Any]:
        """The attack as its class and arguments. Targets are not among them: each row names its own."""
        return {"attack": {"class": type(self.attack).__name__.lower()} | self.attack.arguments()}

    def _read(self, trainer: Any, source: LightningModule) -> dict[str, Target]:
        asked = [str(target) for target in (self.targets if self.targets is not None else getattr(trainer, "runs", ()))]
        alone = "the targets are the RUNs of the command, or attacks.transfer.init_args.targets; there are none beside the source"
        require(bool(asked), f"{self.name}: {alone}")
        found: dict[str, Target] = {}
        first = next((t for t in source.parameters() if t.is_floating_point()), None)
        for folder in dict.fromkeys(asked):
            model = trainer.load(_same_kind_of_checkpoint(trainer, folder))
            _require_same_data(model, getattr(trainer, "datamodule", None), folder)
            model = model.to(source.device) if first is None else model.to(source.device, first.dtype)
            twin = Victim.prepare(model, fast=False)
            about = _about(model, folder)
            if all(about != target.about for target in found.values()):
                found[_name(about, found)] = Target(twin, about)
        return found


def inner(model: nn.Module) -> nn.Module:
    """The network of a task, which is what `robnas.load` gives of it."""
    own = getattr(model, "model", None)
    return own if isinstance(model, LightningModule) and isinstance(own, nn.Module) else model


def same_network(a: Victim, b: Victim) -> bool:
    """Whether two victims are copies of one network: the same modules with the same weights, in a task or not."""
    ours, theirs = (inner(victim._original) for victim in (a, b))
    if [type(m) for m in ours.modules()] != [type(m) for m in theirs.modules()]:
        return False
    x, y = ours.state_dict(), theirs.state_dict()
    return x.keys() == y.keys() and all(torch.equal(v, y[k].to(v.device)) if isinstance(v, Tensor) else True for k, v in x.items())


def _about(model: nn.Module, folder: str) -> dict[str, Any]:
    """Name, family, job, and the weights as rows on this model call them, where it lies inside a task."""
    victim = digest_of_state({f"model.{k}": v for k, v in model.state_dict().items()})
    description = (getattr(model, "architecture", None) or {}).get("description") or {}
    job = jobs.job_at(folder)
    name = description.get("name") or re.sub(r"[^\w.-]+", "_", Path(folder).name)
    return {"model": name, "family": description.get("family", "custom"), "job": job.name if job else "", "victim": victim}


def _name(about: Mapping[str, Any], taken: Mapping[str, Any]) -> str:
    name = re.sub(r"[^\w-]+", "_", about["model"])
    name = name if name not in taken else f"{name}_{about['victim'][:6]}"
    return name if name not in taken else f"{name}_{len(taken)}"


def _same_kind_of_checkpoint(trainer: Any, folder: str) -> str:
    """Where the command attacks `best.ckpt` of its RUNs, the targets are theirs too."""
    best = Path(folder) / "checkpoints" / "best.ckpt"
    wanted = Path(str(getattr(trainer, "ckpt_path", None) or "")).name == "best.ckpt" and folder in getattr(trainer, "runs", ())
    return str(best) if wanted and best.is_file() else folder


def _require_same_data(model: nn.Module, data: Any, folder: str) -> None:
    """Raise UserError where a target says itself that it is of other images or classes."""
    known = getattr(model, "architecture", None) or {}
    for key, what in (("num_classes", "classes"), ("image_shape", "images"), ("class_names", "classes")):
        theirs, ours = known.get(key), getattr(data, key, None)
        if theirs is None or ours is None:
            continue
        theirs, ours = (list(v) if isinstance(v, list | tuple) else v for v in (theirs, ours))
        require(theirs == ours, f"targets: {folder} is of {what} {theirs}; the data have {ours}")


def _require_same_classes(source: Victim, targets: Mapping[str, Victim], x: Tensor) -> None:
    if not len(x):
        return
    classes = source.judge(source.take(x[:1])).shape[1]
    for name, target in targets.items():
        try:
            theirs = target.judge(target.take(x[:1])).shape[1]
        except RuntimeError as error:
            raise UserError(
                f"targets: {name} does not take images of shape {list(x.shape[1:])}: {str(error).splitlines()[0][:120]}"
            ) from error
        require(theirs == classes, f"targets: {name} has {theirs} classes; the source has {classes}")
