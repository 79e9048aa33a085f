"""How fast a training converges: §4.1's central hypothesis, that NAS favours models that converge fast at early stages."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor, nn

from robnas import collectives
from robnas.errors import UserError, require
from robnas.probes.base import Measurement, Probe
from robnas.results import Number

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Convergence(Probe):
    """Steps and epochs to given training losses, epochs to given training accuracies, and areas under the loss curve.

    The paper states the hypothesis and shows no number for it. Ours are of the training itself, so models compare at equal recipe (data,
    batches, schedule) alone: its mini-batch losses, with augmentation and all that the training step adds, as means over an epoch or over
    the last `window` steps; a step is a mini-batch, also where gradients of several are gathered. `loss_area` is Σ over epochs of the mean
    loss, in loss × epochs; `early_loss_area` that of the first `early` epochs. What was never reached has no value, and says so. A single
    training has no interval: seeds are its sample.

    In `fit` it knows every step, and the checkpoint keeps them under the name of this block. Of any other training that is over,
    `robnas probe RUN` reads what `metrics.csv` kept: epochs, but no steps, and without the share of an auxiliary head.

    Args:
        losses: training losses, in nats.
        accuracies: training accuracies, in [0, 1], where the model logs "train/accuracy".
        window: steps over which a step's loss is averaged; a step before there are as many is none.
        early: epochs that count as early.
        hooks: when, in `fit`.
    """

    def __init__(
        self,
        losses: tuple[float, ...] = (1.5, 1.0, 0.5, 0.1),
        accuracies: tuple[float, ...] = (0.5, 0.8, 0.9, 0.95),
        window: int = 20,
        early: int = 5,
        hooks: tuple[str, ...] = ("fit_end",),
    ) -> None:
        self.losses, self.accuracies, self.window, self.early, self.hooks = losses, accuracies, window, early, hooks
        self._steps: list[Tensor] = []  # of each batch so far, on its device: nobody waits for it
        self._ends: list[int] = []  # batches that were through at the end of each epoch
        self._accuracies: list[float] = []

    def check(self) -> None:
        """Raises UserError."""
        super().check()
        require(self.window >= 1, f"window: {self.window} is not ≥ 1")
        require(self.early >= 1, f"early: {self.early} is not ≥ 1")
        require(all(0 <= a <= 1 for a in self.accuracies), f"accuracies: {list(self.accuracies)} are not in [0, 1]")

    def measure(self, model: nn.Module, x: Tensor, y: Tensor) -> Measurement:
        """Raises UserError: a model and inputs do not say how it was trained."""
        raise UserError(f"{self.name}: looks at a training: use it in `robnas fit`, or `robnas probe RUN`")

    def find(self, trainer: Trainer, model: nn.Module, device: torch.device) -> tuple[Measurement, int]:
        """From what was noted in `fit`, or from the run's metrics.csv."""
        data: Any = getattr(trainer, "datamodule", None)
        n = len(data.parts()[0]) if hasattr(data, "parts") else 0
        if self._steps:
            steps = torch.stack(self._steps).cpu().numpy()
            epochs = epoch_means(steps, self._ends)
            return self.of_curves(epochs, self._accuracies, n, steps), n
        path = Path(trainer.default_root_dir) / "metrics.csv"
        epochs, accuracies = logged(path)
        require(len(epochs) > 0, f"{self.name}: {path} has no train/loss, so it is not known how this model was trained")
        return self.of_curves(epochs, accuracies, n), n

    def of_curves(
        self, epochs: Sequence[float], accuracies: Sequence[float], n: int, steps: np.ndarray[Any, Any] | None = None
    ) -> Measurement:
        """The numbers.

        Args:
            epochs, accuracies: mean training loss and training accuracy of each epoch; accuracies may be empty.
            n: training inputs.
            steps: [S] loss of each step, where it is known.
        """
        found: dict[str, Any] = {"final_loss": Number(epochs[-1], n), "loss_area": Number(math.fsum(epochs), n)}
        cut = () if len(epochs) >= self.early else (f"only {len(epochs)} epochs",)
        found["early_loss_area"] = Number(math.fsum(epochs[: self.early]), n, flags=cut)
        for level in self.losses:
            if steps is not None:
                found[f"steps_to_loss_{level:g}"] = _first([v <= level for v in trailing(steps, self.window)], n, "steps")
            found[f"epochs_to_loss_{level:g}"] = _first([v <= level for v in epochs], n, "epochs")
        for level in self.accuracies if accuracies else ():
            found[f"epochs_to_accuracy_{level:g}"] = _first([v >= level for v in accuracies], n, "epochs")
        curves = {"epoch_loss": np.array(epochs), "epoch_accuracy": np.array(accuracies)} | ({} if steps is None else {"step_loss": steps})
        return Measurement(**found, **curves, curve=picture(epochs, accuracies))

    # Noting

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """A training from the start has no past."""
        if trainer.global_step == 0:
            self._steps, self._ends, self._accuracies = [], [], []
        super().on_train_start(trainer, pl_module)

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int) -> None:
        """The loss of this step, over the inputs of all ranks. Raises UserError where the training step returns none."""
        loss = outputs.get("loss") if isinstance(outputs, Mapping) else outputs
        if not isinstance(loss, Tensor):
            raise UserError(f"{self.name}: the training step of {type(pl_module).__name__} returns no loss")
        inputs = len(batch[0]) if isinstance(batch, list | tuple) and isinstance(batch[0], Tensor) else 1
        whole = trainer.accumulate_grad_batches if pl_module.automatic_optimization else 1  # Lightning divides by it
        scale = whole * inputs
        total = collectives.across_ranks(torch.stack([loss.detach().double() * scale, loss.new_tensor(inputs, dtype=torch.float64)]))
        self._steps.append(total[0] / total[1])

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Where an epoch ends, and the accuracy that its training logged."""
        self._ends.append(len(self._steps))
        if "train/accuracy" in trainer.callback_metrics:
            self._accuracies.append(float(trainer.callback_metrics["train/accuracy"]))
        super().on_train_epoch_end(trainer, pl_module)

    @property
    def state_key(self) -> str:
        """Two blocks of a config have a state each."""
        return f"Convergence({self.name})"

    def state_dict(self) -> dict[str, Any]:
        """All that was noted: a run that is killed and goes on knows its beginning."""
        steps = torch.stack(self._steps).cpu() if self._steps else torch.empty(0, dtype=torch.float64)
        return {"steps": steps, "ends": self._ends, "accuracies": self._accuracies}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """As `state_dict` gave it."""
        self._steps, self._ends = list(state_dict["steps"]), list(state_dict["ends"])
        self._accuracies = list(state_dict["accuracies"])


def epoch_means(steps: Sequence[float] | np.ndarray[Any, Any], ends: Sequence[int]) -> list[float]:
    """Mean over each epoch's steps. ends: steps that were through at each epoch's end."""
    return [float(np.mean(steps[begin:end])) for begin, end in zip([0, *ends], ends, strict=False)]


def trailing(steps: Sequence[float] | np.ndarray[Any, Any], window: int) -> list[float]:
    """[S] → [S] mean over each step and those before it, `window` in all; ∞ before there are as many."""
    sums = [0.0, *accumulate(map(float, steps))]
    return [(sums[i] - sums[i - window]) / window if i >= window else math.inf for i in range(1, len(sums))]


def logged(path: Path) -> tuple[list[float], list[float]]:
    """(mean training loss, training accuracy) of each epoch, from a run's metrics.csv; empty where it has none."""
    if not path.is_file():
        return [], []
    epochs: dict[int, dict[str, str]] = {}
    with path.open(encoding="utf-8", newline="") as file:
        for line in csv.DictReader(file):
            said = {name: line.get(f"train/{name}_epoch") or line.get(f"train/{name}") or "" for name in ("loss", "accuracy")}
            if said["loss"]:
                epochs[int(line["epoch"])] = said  # the last line of an epoch is its mean
    found = [epochs[epoch] for epoch in sorted(epochs)]
    return [float(e["loss"]) for e in found], [float(e["accuracy"]) for e in found if e["accuracy"]]


def picture(epochs: Sequence[float], accuracies: Sequence[float]) -> Figure:
    """Training loss over epochs, and accuracy where there is one."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 3.6), layout="constrained")
    axes = figure.subplots()
    axes.plot(range(1, len(epochs) + 1), epochs, color="tab:blue", marker=".")
    axes.set(xlabel="epoch", ylabel="training loss, nats", ylim=(0, None))
    axes.locator_params("x", integer=True)
    axes.yaxis.label.set_color("tab:blue")
    axes.spines[["top"]].set_visible(False)
    if accuracies:
        right = axes.twinx()
        right.plot(range(1, len(accuracies) + 1), accuracies, color="tab:orange", marker=".")
        right.set(ylabel="training accuracy", ylim=(0, 1.02))
        right.yaxis.label.set_color("tab:orange")
        right.spines[["top"]].set_visible(False)
    return figure


def _first(reached: Sequence[bool], n: int, unit: str) -> Number:
    """How many of them it took, counted from 1."""
    if True in reached:
        return Number(float(reached.index(True) + 1), n)
    return Number(None, n, flags=(f"not in {len(reached)} {unit}",))
