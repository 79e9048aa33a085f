"""What every search over a supernet shares: its building, a weight step, stages, agreement of ranks, checkpoints."""

import math
from abc import abstractmethod
from contextlib import AbstractContextManager, nullcontext
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.nn.parallel import DistributedDataParallel

from robnas import collectives, seeds
from robnas.errors import UserError, require
from robnas.models.normalize import Normalize
from robnas.search.base import Searcher
from robnas.space.mixture import Mixture
from robnas.space.search_space import Space
from robnas.tasks import bilevel
from robnas.tasks.evaluation import Evaluation
from robnas.tasks.same import plain, require_same, space_of

PRECISIONS = ("32-true", "64-true", "bf16-mixed")
"""16-mixed would need its loss scaled, also inside the finite difference."""


class SupernetTask(Evaluation):
    """Trains the weights of a supernet by SGD, its rate a cosine over the epochs, while a searcher looks for an architecture.

    A subclass writes `training_step`, which calls `_weight_step(batch, mixture)` and what its searcher needs, and `mixture`.
    Before each batch `searcher.step` is set, and once an epoch `searcher.epoch_start` called.

    Args:
        searcher: what looks for an architecture.
        space: which operations, how many nodes.
        layers: cells of the supernet; the reduction cells stand at a third and at two thirds.
        init_channels: channels of a node in the first cells.
        learning_rate: of the weights, at the start.
        learning_rate_min: of the weights, where the cosine ends.
        momentum: of the weights' SGD.
        weight_decay: of the weights.
        gradient_clip: largest L2 norm of the weights' gradient; 0 does not clip.
        architecture_warmup: epochs in which the architecture stands still.
        batch_norm_across_ranks: batch statistics over all ranks, so that two processes equal one.
        seed: of weights, α and noise; that of `seed_everything` if not given.
    """

    data_split = "halves"
    searches = True
    """What `fit` leaves behind is a cell, not a trained model."""
    runs: ClassVar[type[Searcher]] = Searcher  # type: ignore[type-abstract]
    """The searchers that this task can run."""
    agreement_every = 100  # weight steps

    def __init__(
        self,
        searcher: Searcher,
        space: Space,
        layers: int = 8,
        init_channels: int = 16,
        learning_rate: float = 0.025,
        learning_rate_min: float = 1e-3,
        momentum: float = 0.9,
        weight_decay: float = 3e-4,
        gradient_clip: float = 5.0,
        architecture_warmup: int = 0,
        batch_norm_across_ranks: bool = True,
        seed: int | None = None,
    ) -> None:
        super().__init__()
        require(layers >= 1, f"layers: {layers} is less than 1")
        require(init_channels >= 1, f"init_channels: {init_channels} is less than 1")
        require(learning_rate > 0, f"learning_rate: {learning_rate} is not positive")
        require(0 <= learning_rate_min <= learning_rate, f"learning_rate_min: {learning_rate_min} is not in [0, {learning_rate}]")
        require(0 <= momentum < 1, f"momentum: {momentum} is not in [0, 1)")
        require(weight_decay >= 0, f"weight_decay: {weight_decay} is negative")
        require(gradient_clip >= 0, f"gradient_clip: {gradient_clip} is negative")
        require(architecture_warmup >= 0, f"architecture_warmup: {architecture_warmup} is negative")
        self.automatic_optimization = False
        self.searcher: Searcher = Searcher.of(searcher)
        name, task = type(self.searcher).__name__, type(self).__name__
        require(isinstance(self.searcher, self.runs), f"searcher: {name} is not run by {task}; its task is {self.searcher.task}")
        self.space = space_of(space)
        self.layers, self.init_channels = layers, init_channels
        self.learning_rate, self.learning_rate_min, self.momentum = learning_rate, learning_rate_min, momentum
        self.weight_decay, self.gradient_clip = weight_decay, gradient_clip
        self.architecture_warmup, self.batch_norm_across_ranks = architecture_warmup, batch_norm_across_ranks
        self.seed = seeds.of_run(seed)
        self.network: nn.Module | None = None
        self.data: dict[str, Any] = {}
        self._epoch_begun = -1

    @abstractmethod
    def mixture(self) -> Mixture:
        """What the supernet computes where it is evaluated as a whole."""

    def describe(self) -> dict[str, float]:
        """What to watch in the search, at the end of every epoch. Raises UserError where it has gone astray."""
        return {}

    def agreed(self) -> dict[str, list[Tensor]]:
        """Tensors that must be the same on every rank, by what they are called."""
        return {"the architecture α": list(self.searcher.parameters()), "the supernet's weights": list(self._weights)}

    # Building

    def setup(self, stage: str) -> None:
        """Raises UserError for what a search cannot do."""
        if stage == "fit":
            precision, epochs = str(self.trainer.precision), self.trainer.max_epochs
            require(precision in PRECISIONS, f"trainer.precision: a search does not run in {precision}; allowed: {', '.join(PRECISIONS)}")
            require(
                epochs is not None and epochs > 0, f"trainer.max_epochs: {epochs} is not positive; the cosine of the learning rate needs it"
            )
            in_time = self.architecture_warmup < (epochs or 0) or bool(self.trainer.fast_dev_run)  # type: ignore[attr-defined]
            require(in_time, f"architecture_warmup: {self.architecture_warmup} of {epochs} epochs leave none for the architecture")

    def configure_model(self) -> None:
        """Builds supernet and α for the data's classes and images; Lightning calls this once the data are known."""
        if self.network is None and self._trainer is not None:
            data = self.trainer.datamodule  # type: ignore[attr-defined]
            self._build(
                {
                    "num_classes": data.num_classes,
                    "image_shape": list(data.image_shape),
                    "class_names": list(data.class_names),
                    "mean": list(data.mean),
                    "std": list(data.std),
                }
            )

    def build_supernet(self, num_classes: int, in_channels: int) -> nn.Module:
        """A module with `forward(x: [B, C, H, W], mixture) -> logits` and `frozen_statistics()`."""
        from robnas.space.supernet import Supernet

        return Supernet(
            self.space,
            num_classes=num_classes,
            in_channels=in_channels,
            layers=self.layers,
            init_channels=self.init_channels,
            across_ranks=self.batch_norm_across_ranks,
        )

    def _build(self, data: dict[str, Any]) -> None:
        self.data = data
        self.normalize = Normalize(data["mean"], data["std"])
        with torch.device("cpu"), torch.random.fork_rng([]):  # the same weights on every kind of device
            torch.manual_seed(seeds.derive(self.seed, "weights"))
            network = self.build_supernet(data["num_classes"], data["image_shape"][0])
        self.network = network.to(memory_format=torch.channels_last)
        self.searcher.build(self.space, self.seed)
        hidden = [f"searcher.{name}" for name, _ in [*self.searcher.named_parameters(), *self.searcher.named_buffers()]]
        DistributedDataParallel._set_params_and_buffers_to_ignore_for_model(self, hidden)  # type: ignore[no-untyped-call]

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        """Of the weights, where there are any. The cosine is set at each step, from the epoch: there is no schedule to restore."""
        rate, momentum, decay = self.learning_rate, self.momentum, self.weight_decay
        return [torch.optim.SGD(self._weights, rate, momentum=momentum, weight_decay=decay)] if self._weights else []

    # Epochs and steps

    def on_train_start(self) -> None:
        """DDP has sent the weights to every rank; α is hidden from it."""
        collectives.broadcast_([a.data for a in self.searcher.parameters()])

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Begins the epoch where it has not begun: the hooks of an epoch are left out where a run goes on in the middle of one."""
        if self._epoch_begun < self.current_epoch:
            self._begin_epoch()
            self._epoch_begun = self.current_epoch
        self.searcher.step = self.trainer.fit_loop.epoch_loop.total_batch_idx
        if self._weights:
            rate = cosine(self.current_epoch, self.trainer.max_epochs or 1, self.learning_rate, self.learning_rate_min)
            self._weight_optimizer.param_groups[0]["lr"] = rate

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Now and then, whether the ranks still agree."""
        if (self.searcher.step + 1) % self.agreement_every == 0:
            self._require_agreement()

    def on_train_epoch_end(self) -> None:
        """Logs what the cells look like now. Raises UserError where the search has diverged, RuntimeError where the ranks have."""
        numbers = self.describe()
        self._require_agreement()
        self.log_dict(numbers, sync_dist=True)

    def _begin_epoch(self) -> None:
        """Once an epoch, before its first batch."""
        self.searcher.epoch_start(self.current_epoch, self.trainer.max_epochs or 1)

    @property
    def _warm(self) -> bool:
        """Whether the architecture no longer stands still."""
        return self.current_epoch >= self.architecture_warmup

    def _weight_step(self, batch: Any, mixture: Mixture) -> Tensor:
        """One step of SGD on the weights that `mixture` uses. batch: (x: [B, C, H, W] in [0, 1], y: [B], …) → its loss."""
        with bilevel.noise(self._noise("weights"), self.device):
            logits = self._logits(batch[0], mixture)
        loss = cross_entropy(logits, batch[1])
        self._descend(bilevel.weight_gradient(loss, self._weights))
        self._log("train", loss.detach(), logits.detach(), batch[1], on_epoch=True, on_step=False)
        return loss.detach()

    def _descend(self, gradient: list[Tensor]) -> None:
        """SGD along the gradient of the whole batch, clipped."""
        for w, g in zip(self._weights, gradient, strict=True):
            w.grad = g
        if self.gradient_clip:
            nn.utils.clip_grad_norm_(self._weights, self.gradient_clip)
        self._weight_optimizer.step()

    def _logits(self, x: Tensor, mixture: Mixture) -> Tensor:
        """x: [B, C, H, W] in [0, 1] → logits [B, classes] of the supernet that computes `mixture`."""
        assert self.network is not None
        return self.network(self.normalize(x.to(next(self.network.parameters()).dtype)), mixture)  # type: ignore[no-any-return]

    def forward(self, x: Tensor) -> Tensor:
        """x: [B, C, H, W] in [0, 1] → logits [B, classes] of the supernet as it is mixed now."""
        return self._logits(x, self.mixture())

    def _noise(self, purpose: str) -> int:
        """Seed of dropout and the like, for one purpose in one step; ranks see different inputs and draw different noise."""
        return seeds.derive(self.seed, "noise", purpose, self.searcher.step, collectives.rank())

    def _frozen_statistics(self) -> AbstractContextManager[Any]:
        frozen = getattr(self.network, "frozen_statistics", nullcontext)
        return frozen()

    def _require_agreement(self) -> None:
        for what, tensors in self.agreed().items():
            if tensors:
                collectives.require_agreement(tensors, what)

    @property
    def _weight_optimizer(self) -> Any:
        optimizers = self.optimizers()
        return optimizers[0] if isinstance(optimizers, list) else optimizers

    @property
    def _weights(self) -> list[nn.Parameter]:
        assert self.network is not None
        return [w for w in self.network.parameters() if w.requires_grad]

    # Checkpoints

    @property
    def architecture(self) -> dict[str, Any]:
        """Everything that makes this task again, in plain values, and under "data" what it knows of the data."""
        return plain(self) | {"data": self.data}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """The checkpoint alone says what it is a checkpoint of: plain values, which load with weights_only."""
        checkpoint["hyper_parameters"], checkpoint["data"] = plain(self), self.data
        checkpoint["searcher"] = {"epoch_begun": self._epoch_begun, "state": self.searcher.state()}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Raises UserError where the checkpoint is of another architecture, other classes or other images."""
        theirs, data = checkpoint.get("hyper_parameters", {}), checkpoint.get("data")
        if "searcher" not in theirs or data is None:
            raise UserError("the checkpoint is not one of a search")
        if self.network is None:
            self._build(data)
        require_same(theirs | {"data": data}, self.architecture)
        self._epoch_begun = checkpoint["searcher"]["epoch_begun"]
        self.searcher.rebuild(checkpoint["searcher"]["state"])


def cosine(epoch: int, epochs: int, first: float, last: float) -> float:
    """Learning rate of an epoch, from `first` to `last` (Loshchilov and Hutter, 2017, without restarts)."""
    return last + (first - last) * (1 + math.cos(math.pi * epoch / epochs)) / 2
