"""Architecture search by asking and telling: a searcher proposes architectures, an evaluator scores them, and weights may be shared."""

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from robnas import collectives
from robnas.errors import require
from robnas.search.base import Searcher
from robnas.search.evaluator import Evaluator
from robnas.search.history import History
from robnas.search.sampled import Sampled
from robnas.search.summary import shape
from robnas.space.genotype import Genotype
from robnas.space.mixture import Mixture
from robnas.space.search_space import Space
from robnas.tasks import bilevel
from robnas.tasks.fingerprint import fingerprint
from robnas.tasks.sampled_arguments import require_late, require_meaning
from robnas.tasks.scoring import Scoring
from robnas.tasks.supernet_task import SupernetTask, cosine

_SPACE = Space()


class SampledSearch(SupernetTask):
    """ENAS, NASNet, AmoebaNet, Random: in rounds, `proposals` architectures are asked for, scored, and their scores told.

    Where the evaluator shares weights, each batch is a step of SGD on the path that the searcher samples, and behind every `n_step`-th
    one comes a round. Weights off the path have gradient zero, as the mean over paths has it in a sample of one (Pham et al., 2018,
    Eq. 1); momentum and decay move them on. The supernet is always judged with the batch's own moments, as the running ones are those
    of all paths together. Where nothing is shared there is no supernet, and an epoch is one round (`trainer.limit_train_batches`: so many).

    Args:
        searcher: asks and is told.
        evaluator: scores architectures; `shared_weights`, `trained_child` or `zero_cost`.
        space: which operations, how many nodes.
        layers: cells of the supernet.
        init_channels: channels of a node in its first cells.
        n_step: weight steps for each round (§5.2 (i)), where they go side by side.
        proposals: architectures of a round.
        weight_epochs: epochs in which shared weights are trained first, and no architecture is scored; negative: all but so many at the
            end. Then every batch is a round. None: in every epoch, side by side with the rounds.
        weights: further arguments of `SupernetTask`.
    """

    runs = Sampled
    augments = ("train",)  # scores are of validation images as they are, as in ENAS
    searcher: Sampled
    # A step trains one path of thousands: after eight epochs of digits the weights still guess.
    scales: ClassVar[dict[str, dict[str, Any]]] = {
        "tiny": {"layers": 3, "init_channels": 8, "learning_rate": 0.03, "trainer": {"max_epochs": 20}},
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
        self.scoring = Scoring(self.evaluator)
        self._asked = 0  # fingerprint of every path and proposal since this process began, and of the scores
        require_meaning(self)

    @property
    def told(self) -> History:
        """The scores of all that was told."""
        return self.scoring.told

    @property
    def evaluations(self) -> int:
        """How often the evaluator was asked for a score."""
        return self.scoring.evaluations

    def mixture(self) -> Mixture:
        """The path of the architecture that is derived now."""
        return self._path(self.searcher.derive())

    def describe(self) -> dict[str, float]:
        """Shape of the cells derived now, mean score of the epoch, evaluations so far."""
        mean = self.told.mean(self.current_epoch)
        return shape(self.searcher.derive()) | ({} if mean is None else {"mean_score": mean}) | self.scoring.figures()

    def agreed(self) -> dict[str, list[Tensor]]:
        """And the searcher's state, and every path, proposal and score. The policy is no parameter, and where ranks trained and scored
        other paths, weights and scores would still be those of all ranks together.
        """
        searcher = {"the searcher's state": fingerprint(self.searcher.state()), "what was asked and told": self._asked}
        return super().agreed() | {what: [torch.tensor([number], device=self.device)] for what, number in searcher.items()}

    def on_train_start(self) -> None:
        """And what the searcher knows, a policy's weights among it."""
        super().on_train_start()
        if collectives.world_size() > 1:
            self.searcher.rebuild(collectives.from_first(self.searcher.state))

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
            if not self.trainer.fast_dev_run:  # type: ignore[attr-defined]
                in_time = 0 <= self._trained_until < epochs
                what, needed, other = ("architecture", given + 1, "a smaller --model.weight_epochs")
                if given < 0:
                    what, needed, other = ("weights", -given, "--model.weight_epochs=-1")
                way_out = f"trainer.max_epochs of at least {needed} is needed, or {other}"
                require(in_time, f"weight_epochs: {given} of {epochs} epochs leave none for the {what}; {way_out}")
                require_late(self, self._trained_until)

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
        out = self._path_step(batch["train"]) if trained else self._stand_still()
        if self._warm and (not trained or (self.weight_epochs is None and self.searcher.step % self.n_step == 0)):
            self._round(batch["valid"])
        return out

    def _path_step(self, batch: Any) -> dict[str, Tensor]:
        path = self.searcher.sample()
        self._asked = fingerprint(self._asked, path.to_dict())
        return {"loss": self._weight_step(batch, self._path(path))}

    def _round(self, batch: Any) -> None:
        genotypes = self.searcher.ask_many(self.proposals)
        with bilevel.noise(self._noise("scores"), self.device):
            scores = self.scoring.scores(genotypes, self.scoring.scene(self, batch), settled=not self._trains_weights)
        self._asked = fingerprint(self._asked, [g.to_dict() for g in genotypes], scores)
        for genotype, score in zip(genotypes, scores, strict=True):
            self.searcher.tell(genotype, score)
            self.told.add(self.current_epoch, score)

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
        return self.with_batch_moments(x, self.mixture())

    @torch.no_grad()
    def with_batch_moments(self, x: Tensor, mixture: Mixture) -> Tensor:
        """x: [B, C, H, W] in [0, 1] → logits [B, classes] of what `mixture` says, without gradient; no running statistics move."""
        assert self.network is not None
        if not self.network.training:
            self.network.train()
            try:
                return self.with_batch_moments(x, mixture)
            finally:
                self.network.eval()
        with self._frozen_statistics():
            return self._logits(x, mixture)

    # Checkpoints

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """And what was told and scored, as tensors and plain values."""
        super().on_save_checkpoint(checkpoint)
        checkpoint["scores"] = self.scoring.state()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Raises UserError where the checkpoint is of another architecture, other classes or other images."""
        super().on_load_checkpoint(checkpoint)
        self.scoring.rebuild(checkpoint["scores"])


class Nothing(nn.Module):
    """Stands where no weights are shared. Its one number never moves: Lightning counts steps by an optimizer, and DDP asks for a weight."""

    def __init__(self) -> None:
        super().__init__()
        self.still = nn.Parameter(torch.zeros(()))
