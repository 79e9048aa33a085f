"""Architecture search by asking and telling: a searcher proposes architectures, an evaluator scores them, and weights may be shared."""

from collections.abc import Iterator, Mapping, Sequence
from inspect import signature
from math import isfinite
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from robnas.data.base import as_float
from robnas.errors import require
from robnas.search.base import Searcher
from robnas.search.evaluator import Evaluator, Scene, key
from robnas.search.sampled import Sampled
from robnas.search.summary import shape
from robnas.space.genotype import Genotype
from robnas.space.mixture import Mixture
from robnas.space.search_space import Space
from robnas.tasks import bilevel
from robnas.tasks.supernet_task import SupernetTask, cosine

OF_WEIGHTS = ("n_step", "weight_epochs", "architecture_warmup", "learning_rate_min", "momentum", "weight_decay", "gradient_clip")
"""Arguments without a meaning where no weights are shared. (Those that `scale: tiny` sets are not among them: they are left unread.)"""

_SPACE = Space()


class SampledSearch(SupernetTask):
    """ENAS, NASNet, AmoebaNet, Random: in rounds, `proposals` architectures are asked for, scored, and their scores told.

    Where the evaluator shares weights, each batch is a step of SGD on the path that the searcher samples, and behind every `n_step`-th
    one comes a round. Weights off the path have gradient zero, as the mean over paths has it in a sample of one (Pham et al., 2018,
    Eq. 1); momentum and decay move them on. The supernet is always judged with the batch's own moments, as the running ones are those
    of all paths together. Where nothing is shared there is no supernet, and an epoch is one round (`trainer.limit_train_batches`: so many).

    Where an architecture has one score (`Evaluator.fixed`) it is evaluated once; whoever proposes it again is told the same.

    Args:
        searcher: asks and is told.
        evaluator: scores architectures; `shared_weights`, `trained_child` or `zero_cost`.
        space: which operations, how many nodes.
        layers: cells of the supernet.
        init_channels: channels of a node in its first cells.
        n_step: weight steps for each round (§5.2 (i)), while weights are trained; then every batch is a round.
        proposals: architectures of a round.
        weight_epochs: epochs in which shared weights are trained first, and no architecture is scored; negative: all but so many at the
            end. None: in every epoch, side by side with the rounds.
        weights: further arguments of `SupernetTask`.
    """

    runs = Sampled
    augments = ("train",)  # scores are of validation images as they are, as in ENAS
    searcher: Sampled
    # A step trains one path of thousands: after eight epochs of digits the weights still guess.
    scales: ClassVar[dict[str, dict[str, Any]]] = {
        "tiny": {"layers": 3, "init_channels": 4, "learning_rate": 0.1, "trainer": {"max_epochs": 20}},
    }

    def __init__(
        self,
        searcher: Searcher,
        evaluator: Evaluator,
        space: Space = _SPACE,
        layers: int = 8,
        init_channels: int = 16,
        n_step: int = 1,
        proposals: int = 1,
        weight_epochs: int | None = None,
        **weights: Any,
    ) -> None:
        super().__init__(searcher, space, layers, init_channels, **weights)
        require(n_step >= 1, f"n_step: {n_step} is less than 1")
        require(proposals >= 1, f"proposals: {proposals} is less than 1")
        self.evaluator = Evaluator.of(evaluator)
        self.n_step, self.proposals, self.weight_epochs = n_step, proposals, weight_epochs
        if not self.evaluator.shares_weights:
            defaults = signature(SupernetTask).parameters | signature(SampledSearch).parameters
            for name, value in {name: getattr(self, name) for name in OF_WEIGHTS}.items():
                without = f"has no meaning for {type(self.evaluator).__name__}, which shares no weights; leave it out"
                require(value == defaults[name].default, f"{name}: {value} {without}")
        self.told: list[tuple[int, int, float]] = []
        """(epoch, number of what was told from 1, score) of all that was told."""
        self.evaluations = 0
        """How often the evaluator was asked for a score."""
        self._scores: dict[str, float] = {}  # of architectures that have one for good
        self._half: Any = None  # its loader, whose worker processes take long to start

    def mixture(self) -> Mixture:
        """The path of the architecture that is derived now."""
        return self._path(self.searcher.derive())

    def describe(self) -> dict[str, float]:
        """Shape of the cells derived now, mean score of the epoch, evaluations so far."""
        scores = [score for epoch, _, score in self.told if epoch == self.current_epoch]
        mean = {"mean_score": sum(scores) / len(scores)} if scores else {}
        return shape(self.searcher.derive()) | mean | {"evaluations": float(self.evaluations)}

    def agreed(self) -> dict[str, list[Tensor]]:
        """And the latest scores."""
        latest = torch.tensor([score for *_, score in self.told[-100:]], device=self.device)
        return super().agreed() | ({"what the searcher was told": [latest]} if self.told else {})

    # Building

    def setup(self, stage: str) -> None:
        """Raises UserError for what a search cannot do."""
        super().setup(stage)
        if not self.evaluator.shares_weights:
            name = type(self.evaluator).__name__
            require(stage == "fit", f"a search by {name} has no weights to evaluate: train its cell: robnas fit --config classify.yaml")
            if self.trainer.limit_train_batches == 1.0 and type(self.trainer.limit_train_batches) is float:
                self.trainer.limit_train_batches = 1
            self.trainer.limit_val_batches = 0
        elif stage == "fit" and self.weight_epochs is not None:
            epochs, given = self.trainer.max_epochs or 1, self.weight_epochs
            in_time = 0 <= self._trained_until < epochs or bool(self.trainer.fast_dev_run)  # type: ignore[attr-defined]
            require(in_time, f"weight_epochs: {given} of {epochs} epochs leave none for the {'architecture' if given > 0 else 'weights'}")

    def build_supernet(self, num_classes: int, in_channels: int) -> nn.Module:
        """The supernet, or what stands in its place where nothing is shared."""
        return super().build_supernet(num_classes, in_channels) if self.evaluator.shares_weights else Nothing()

    # Steps

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """The learning rate comes to its end when the training of weights does."""
        super().on_train_batch_start(batch, batch_idx)
        if self._trains_weights:
            rate = cosine(self.current_epoch, self._trained_until, self.learning_rate, self.learning_rate_min)
            self._weight_optimizer.param_groups[0]["lr"] = rate

    def training_step(self, batch: Mapping[str, Any], batch_idx: int) -> dict[str, Tensor]:
        """Weights, then the architecture. batch: "train" and "valid", each (x: [B, C, H, W] in [0, 1], y: [B], index)."""
        trained = self._trains_weights
        out = {"loss": self._weight_step(batch["train"], self._path(self.searcher.sample()))} if trained else self._stand_still()
        if self._warm and (not trained or (self.weight_epochs is None and self.searcher.step % self.n_step == 0)):
            self._round(batch["valid"])
        return out

    def _round(self, batch: Any) -> None:
        genotypes = self.searcher.ask_many(self.proposals)
        with bilevel.noise(self._noise("scores"), self.device):
            scores = self._scored(genotypes, batch)
        for genotype, score in zip(genotypes, scores, strict=True):
            self.searcher.tell(genotype, score)
            self.told.append((self.current_epoch, len(self.told) + 1, score))

    def _scored(self, genotypes: Sequence[Genotype], batch: Any) -> list[float]:
        """One score for each, asked for once where it stays the same."""
        keys = [key(g) for g in genotypes]
        known = self._scores if self.evaluator.fixed and not self._trains_weights else {}
        new = dict(pair for pair in zip(keys, genotypes, strict=True) if pair[0] not in known)
        if not new:
            return [known[k] for k in keys]
        found = self.evaluator.scores(list(new.values()), self._scene(batch))
        self.evaluations += len(new)
        for score in found:
            require(isfinite(score), f"evaluator: {type(self.evaluator).__name__} gave {score}; a searcher needs a number")
        known.update(zip(new, found, strict=True))
        return [known[k] for k in keys]

    def _scene(self, batch: Any) -> Scene:
        weights = self.evaluator.shares_weights
        return Scene(
            x=batch[0],
            y=batch[1],
            space=self.space,
            data=self.data,
            seed=self.seed,
            folder=Path(self.trainer.default_root_dir),
            validation=self._validation,
            logits=self._with_batch_moments if weights else None,
            jobs=getattr(self.trainer, "jobs", None),
            config=getattr(self.trainer, "config", None),
        )

    def _validation(self) -> Iterator[tuple[Tensor, Tensor]]:
        """The validation half as it is, in order, in this rank's shares."""
        self._half = self._half or self.trainer.datamodule.val_dataloader()  # type: ignore[attr-defined]
        for batch in self._half:
            x, y, _ = as_float(batch, self.dtype)  # type: ignore[arg-type]
            yield x.to(self.device), y.to(self.device)

    def _path(self, genotype: Genotype) -> Mixture:
        return Mixture.of(genotype, self.space, self.dtype, self.device)  # type: ignore[arg-type]

    @property
    def _trains_weights(self) -> bool:
        return self.evaluator.shares_weights and self.current_epoch < self._trained_until

    @property
    def _trained_until(self) -> int:
        """The first epoch in which no weights are trained."""
        epochs, given = self.trainer.max_epochs or 1, self.weight_epochs
        return epochs if given is None else given if given >= 0 else epochs + given

    def _stand_still(self) -> dict[str, Tensor]:
        """Lightning counts an optimizer's steps; without gradients this one moves nothing."""
        for w in self._weights:
            w.grad = None
        self._weight_optimizer.step()
        return {}

    # Evaluation

    def forward(self, x: Tensor) -> Tensor:
        """x: [B, C, H, W] in [0, 1] → logits [B, classes] of the architecture derived now, which depend on the batch's moments."""
        return self._with_batch_moments(x, self.mixture())

    @torch.no_grad()
    def _with_batch_moments(self, x: Tensor, mixture: Mixture) -> Tensor:
        assert self.network is not None
        if not self.network.training:
            self.network.train()
            try:
                return self._with_batch_moments(x, mixture)
            finally:
                self.network.eval()
        with self._frozen_statistics():
            return self._logits(x, mixture)

    # Checkpoints

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """And what was told and scored, as tensors and plain values."""
        super().on_save_checkpoint(checkpoint)
        told = torch.tensor(self.told, dtype=torch.float64, device="cpu").view(-1, 3)
        checkpoint["scores"] = {"told": told, "known": self._scores, "evaluations": self.evaluations}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Raises UserError where the checkpoint is of another architecture, other classes or other images."""
        super().on_load_checkpoint(checkpoint)
        kept = checkpoint["scores"]
        self.told = [(int(epoch), int(number), score) for epoch, number, score in kept["told"].tolist()]
        self._scores, self.evaluations = dict(kept["known"]), kept["evaluations"]


class Nothing(nn.Module):
    """Stands where no weights are shared. Its one number never moves: Lightning counts steps by an optimizer, and DDP asks for a weight."""

    def __init__(self) -> None:
        super().__init__()
        self.still = nn.Parameter(torch.zeros(()))
