"""Small losses first: training goes on without the inputs that the model fits worst (Han et al., 2018; Shen and Sanghavi, 2019)."""

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor

from robnas.attacks.callback import Number, Outcomes
from robnas.attacks.training import Defence, FinalTest
from robnas.attacks.training_loss import answers
from robnas.data.altered import Altered
from robnas.data.base import ImageData
from robnas.errors import require
from robnas.statistics import wilson


class LossFilter(Defence):
    """After the first `start` epochs, and then every `every`, all training inputs are ranked by their loss, and the next epochs draw from
    the share 1 − `drop` that has the smallest. A network learns clean labels before it fits wrong ones (Arpit et al., 2017).

    As in iterative trimming (Shen and Sanghavi), the whole training set is ranked, dropped inputs too, so one may come back; Han et al.
    choose within each minibatch, by a second network. Departures: losses are those of un-augmented images in evaluation mode, and the
    weights are not begun anew after each ranking. An epoch has fewer steps afterwards: part of what the filter costs.

    Args:
        drop: share of the training inputs that is left out; ideally the share of wrong labels, which a defender must guess.
        start: epochs that are trained on everything.
        every: epochs from one ranking to the next; a ranking costs a forward pass over the training set.
    """

    scales: ClassVar[dict[str, dict[str, Any]]] = {"tiny": {"start": 5, "every": 2}}

    def __init__(self, drop: float = 0.2, start: int = 10, every: int = 5) -> None:
        super().__init__()
        require(0 <= drop < 1, f"drop: {drop} is not in [0, 1)")
        require(start >= 1, f"start: {start} is not at least 1; a network that has learnt nothing ranks nothing")
        require(every >= 1, f"every: {every} is not at least 1")
        self.drop, self.start, self.every = drop, start, every
        self.kept: Tensor | None = None
        """[K] what training draws from; None: everything."""
        self._loaded: Tensor | None = None

    def begin(self, trainer: Trainer, model: LightningModule, data: ImageData) -> None:
        """Raises UserError where fewer than a batch would stay, or the training ends before the filter begins."""
        epochs = trainer.max_epochs
        require(not epochs or self.start < epochs, f"{self.name}: start: {self.start} leaves no epoch of trainer.max_epochs: {epochs}")
        self._data, (self._images, self._pool) = data, data.trained_on()
        stay = len(self._pool) - round(self.drop * len(self._pool))
        require(
            stay >= data.batch_size, f"{self.name}: drop: {self.drop} leaves {stay} inputs, fewer than data.batch_size: {data.batch_size}"
        )
        self.kept, self._loaded = self._loaded, None
        self._reload = trainer.reload_dataloaders_every_n_epochs  # type: ignore[attr-defined]
        if self.kept is not None:
            data.train_on(self._images, self.kept)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """The loader has been made anew by now."""
        trainer.reload_dataloaders_every_n_epochs = self._reload  # type: ignore[attr-defined]

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Ranks, where it is time; the last epoch has none after it that could draw."""
        epoch = trainer.current_epoch + 1
        if epoch < self.start or (epoch - self.start) % self.every or epoch == trainer.max_epochs:
            return
        loss, _ = answers(trainer, pl_module, self._data, self._images, self._pool)
        self.kept = self._pool[smallest(loss, len(self._pool) - round(self.drop * len(self._pool)))]
        self._data.train_on(self._images, self.kept)
        trainer.reload_dataloaders_every_n_epochs = 1  # type: ignore[attr-defined]  # Lightning makes the next epoch's loader anew
        if (wrong := self._wrong()) is not None:
            hits, dropped, all_wrong = self._caught(wrong)
            shares = {"precision": hits / dropped if dropped else None, "recall": hits / all_wrong if all_wrong else None}
            pl_module.log_dict({f"filter/{name}": value for name, value in shares.items() if value is not None}, sync_dist=True)

    def measure(self, trainer: Trainer, model: LightningModule, tested: FinalTest) -> tuple[Mapping[str, Number], Outcomes | None]:
        """The share that the last epochs left out; precision and recall where something was altered. CAD is in the attack's rows."""
        n = len(self._pool)
        kept = n if self.kept is None else len(self.kept)
        found = {"dropped": Number((n - kept) / n, n)}
        if (wrong := self._wrong()) is not None:
            hits, dropped, all_wrong = self._caught(wrong)
            found |= {"filter_precision": _share(hits, dropped), "filter_recall": _share(hits, all_wrong)}
        return found, None

    def _wrong(self) -> Tensor | None:
        """[P] bool of the pool: what an attack has altered, as its poison.npz has it; None without an attack."""
        return self._images.touched[self._pool] if isinstance(self._images, Altered) else None

    def _caught(self, wrong: Tensor) -> tuple[int, int, int]:
        """Altered inputs that are left out, inputs that are left out, altered inputs."""
        out = ~torch.isin(self._pool, self._pool if self.kept is None else self.kept)
        return int((out & wrong).sum()), int(out.sum()), int(wrong.sum())

    def state_dict(self) -> dict[str, Any]:
        """What training draws from until the next ranking."""
        return {"kept": self.kept}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """To be used when the data are there."""
        self._loaded = state_dict["kept"]


def smallest(loss: Tensor, count: int) -> Tensor:
    """loss: [N] → [count] places of the smallest, in their order; of equal ones the first. No number (NaN) is the largest of all."""
    return loss.argsort(stable=True)[:count].sort().values


def _share(hits: int, n: int) -> Number:
    return Number(hits / n, n, wilson(hits, n), "wilson") if n else Number(None, 0)
