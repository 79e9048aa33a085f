"""Attacks on training: callbacks of `fit` that change what a model is trained on, and say at the end what that did (§3.2)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from lightning.pytorch import LightningModule, Trainer
from numpy.typing import NDArray
from torch import Tensor, nn

from robnas import provenance, results
from robnas.attacks.callback import Attack, Number, Outcomes
from robnas.attacks.victim import Victim
from robnas.copies import digest, evaluation_copy
from robnas.data.base import ImageData
from robnas.errors import UserError
from robnas.results import Row, Rows
from robnas.statistics import bootstrap

COUNTED = "counted"
"""How a share is known that is no estimate: of all inputs that there are. It has no interval."""


class TrainingAttack(Attack):
    """The base of poisoning, backdoors and stealing. The author writes `begin`, and `measure` for what is to be known at the end.

    What was done is a pure function of configuration, seed and clean data, or is kept in `state_dict`: a run that is killed and goes on
    is attacked once. A checkpoint says that it was attacked, and how; so do the rows of its accuracy.
    """

    access: ClassVar[str] = "training"
    mark: ClassVar[str] = "attacked"
    """Under which a checkpoint keeps what was done."""
    kind: ClassVar[str] = "attack"
    """Of its rows."""

    # What the author writes

    def begin(self, trainer: Trainer, model: LightningModule, data: ImageData) -> None:
        """Before the first step, and again where a run goes on, on every rank: `data.train_on(…)`, for example. The model is there."""

    def measure(self, trainer: Trainer, model: LightningModule, tested: FinalTest) -> tuple[Mapping[str, Number], Outcomes | None]:
        """After the last step and the final test, on every rank → metrics by name, and outcomes per input, if there are any."""
        return {}, None

    # What the author need not know

    @property
    def state_key(self) -> str:
        """By name too: two blocks of one class keep apart in a checkpoint."""
        return f"{type(self).__qualname__}.{self.name}"

    def proportions(self, outcomes: Outcomes) -> dict[str, tuple[int, int]]:
        """None by default: `measure` says what is measured."""
        return {}

    def __call__(self, model: nn.Module | Victim, x: Tensor, y: Tensor | None = None, index: Tensor | None = None, seed: int = 0) -> Any:
        """Raises UserError: there is nothing to attack in a model that is trained already."""
        raise UserError(f"{self.name}: acts while a model is trained: `robnas fit`")

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Raises UserError in a search, and on data that are not robnas's."""
        data = getattr(trainer, "datamodule", None)
        if getattr(pl_module, "searches", False):
            raise UserError(f"{self.name}: acts on the training of a network, not on a search")
        if not isinstance(data, ImageData):
            raise UserError(f"{self.name}: data of robnas are needed (robnas list data), but here they are {type(data).__name__}")
        # So that the weights cannot be taken for those of an honest training: a Classifier keeps it in its checkpoints.
        before: Mapping[str, Any] = getattr(pl_module, self.mark, {})
        vars(pl_module)[self.mark] = {**before, self.name: self.described()}
        self.begin(trainer, pl_module, data)

    def described(self) -> dict[str, Any]:
        """Class and arguments, in plain values."""
        arguments: dict[str, Any] = results.plain(self.arguments())
        return {"class": type(self).__name__.lower()} | arguments

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Raises UserError: `robnas attack` only evaluates."""
        raise UserError(f"{self.name}: acts while a model is trained: robnas fit --config …, not robnas attack")

    def after_training(self, trainer: Trainer, model: LightningModule, tested: FinalTest) -> None:
        """Rows of what was measured. Called by the run once training and the final test are through."""
        numbers, outcomes = self.measure(trainer, model, tested)
        store, origin = provenance.of_trainer(trainer)
        common: dict[str, Any] = {**origin, "victim": digest(evaluation_copy(model)), "attack_seed": origin.get("train_seed")}
        common |= {"kind": self.kind, "plugin": type(self).__name__.lower(), "params": self.arguments(), "access": self.access}
        where = provenance.outcomes_name(self.name, self.arguments(), *(common.get(k) for k in ("job", "victim", "attack_seed", "dataset")))
        if trainer.is_global_zero and outcomes is not None:
            common["outcomes"] = store.write_outcomes(where, outcomes)
        self.rows = tuple(Row(metric=metric, **number._asdict(), **common) for metric, number in numbers.items())
        if trainer.is_global_zero:
            store.write(self.rows)


class Defence(TrainingAttack):
    """The base of what protects a training, or what a model says of itself, against one of them: written and run in the same way."""

    mark: ClassVar[str] = "defended"
    kind: ClassVar[str] = "train"


class FinalTest:
    """The final test, input by input. index, prediction, label: [N] each, in the order of the data set; none where the model gave none."""

    def __init__(self, index: NDArray[np.int64], prediction: NDArray[np.int64], label: NDArray[np.int64]) -> None:
        self.index, self.prediction, self.label = index, prediction, label

    @property
    def correct(self) -> NDArray[np.bool_]:
        """[N]"""
        return np.equal(self.prediction, self.label)

    @classmethod
    def of_run(cls, folder: str | Path) -> FinalTest:
        """Of a finished training. Raises UserError where its folder has no final test input by input."""
        store = Rows(Path(folder) / "results.jsonl")
        row = next((r for r in reversed(store.read()) if r.kind == "train" and r.metric == "accuracy" and r.outcomes), None)
        if row is None:
            raise UserError(f"{folder} has no test accuracy input by input: train it again (--overwrite)")
        found = store.read_outcomes(row)
        return cls(found["index"], found["prediction"], found["label"])

    def drop_from(self, clean: FinalTest) -> Number:
        """Clean accuracy drop (CAD, §3.2): accuracy of `clean` less this one's, on the same inputs, with a bootstrap interval over them.

        The interval says what other test inputs would change, not what another training seed would. Raises UserError where the inputs
        are not the same.
        """
        if not np.array_equal(self.index, clean.index):
            raise UserError(f"the clean run was tested on {len(clean.index)} inputs, this one on {len(self.index)}, or on others")
        drop = clean.correct.astype(np.float64) - self.correct
        return Number(float(drop.mean()), len(drop), bootstrap(drop), "paired bootstrap") if len(drop) else Number(None, 0)


def said(name: str, row: Row) -> str:
    """A number in a line: "flip: cad 27.8% (95% interval over inputs 22.5 to 33.1, n = 360)"."""
    if row.value is None:
        return f"{name}: {row.metric} none, n = {row.n}"
    share = row.ci_method in ("wilson", "paired bootstrap", COUNTED)
    scale, unit = (100, "%") if share else (1, "")
    interval = "" if row.ci is None else f" (95% interval over inputs {scale * row.ci[0]:.3g} to {scale * row.ci[1]:.3g}, n = {row.n})"
    return f"{name}: {row.metric} {scale * row.value:.3g}{unit}{interval}"
