"""What every search over a supernet shares: the weights' own training, epochs and stages, agreement of ranks."""

import math
from typing import TYPE_CHECKING, Any, cast

import torch
from lightning.pytorch import Callback
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from robnas import collectives, seeds
from robnas.errors import require
from robnas.search.base import Searcher, Stage
from robnas.space.mixture import Mixture
from robnas.space.search_space import Space
from robnas.tasks import bilevel
from robnas.tasks.chronicle import Chronicle
from robnas.tasks.stages import require_shapes, require_time, rewire
from robnas.tasks.supernet_module import SupernetModule

if TYPE_CHECKING:
    from robnas.space.supernet import Supernet

PRECISIONS = ("32-true", "64-true", "bf16-mixed")
"""16-mixed would need its loss scaled, also inside the finite difference."""


class SupernetTask(SupernetModule):
    """Trains the weights of a supernet by SGD, its rate a cosine over the epochs, while a searcher looks for an architecture.

    A subclass writes `training_step`, which calls `_weight_step(batch, mixture)` and what its searcher needs, and `mixture`.
    Before each batch `searcher.step` is set, once an epoch `searcher.epoch_start` called, and where `searcher.stage` tells of a new
    stage, the supernet is shaped anew and all optimizers forget. Rate and warm-up are counted within the stage.

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
        draw_every: epochs between two drawings of the cells while the search goes on; 0: they are drawn at its end alone.
        module: further arguments of `SupernetModule`.
    """

    data_split = "halves"
    searches = True
    """What `fit` leaves behind is a cell, not a trained model."""
    agreement_every = 100  # batches

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
        draw_every: int = 5,
        **module: Any,
    ) -> None:
        super().__init__(searcher, space, layers, init_channels, **module)
        require(learning_rate > 0, f"learning_rate: {learning_rate} is not positive")
        require(0 <= learning_rate_min <= learning_rate, f"learning_rate_min: {learning_rate_min} is not in [0, {learning_rate}]")
        require(0 <= momentum < 1, f"momentum: {momentum} is not in [0, 1)")
        require(weight_decay >= 0, f"weight_decay: {weight_decay} is negative")
        require(gradient_clip >= 0, f"gradient_clip: {gradient_clip} is negative")
        require(architecture_warmup >= 0, f"architecture_warmup: {architecture_warmup} is negative")
        require(draw_every >= 0, f"draw_every: {draw_every} is negative")
        self.automatic_optimization = False
        self.learning_rate, self.learning_rate_min, self.momentum = learning_rate, learning_rate_min, momentum
        self.weight_decay, self.gradient_clip, self.architecture_warmup = weight_decay, gradient_clip, architecture_warmup
        self.draw_every = draw_every

    def configure_callbacks(self) -> list[Callback]:
        """What the search did, kept over a resume, told and drawn while it goes on and at its end."""
        return [Chronicle(self.draw_every)]

    def setup(self, stage: str) -> None:
        """Raises UserError for what a search cannot do."""
        if stage == "fit":
            precision, epochs = str(self.trainer.precision), self.trainer.max_epochs
            require(precision in PRECISIONS, f"trainer.precision: a search does not run in {precision}; allowed: {', '.join(PRECISIONS)}")
            require(
                epochs is not None and epochs > 0, f"trainer.max_epochs: {epochs} is not positive; the cosine of the learning rate needs it"
            )
            require_shapes(self.searcher, epochs or 1, self.init_channels)
            if not self.trainer.fast_dev_run:  # type: ignore[attr-defined]
                require_time(self.searcher, epochs or 1, self.architecture_warmup)

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        """Of the weights, where there are any. The cosine is set at each step, from the epoch: there is no schedule to restore."""
        rate, momentum, decay = self.learning_rate, self.momentum, self.weight_decay
        return [torch.optim.SGD(self._weights, rate, momentum=momentum, weight_decay=decay)] if self._weights else []

    # Epochs and stages

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
            rate = cosine(self._since, self._stage_now.epochs, self.learning_rate, self.learning_rate_min)
            self._weight_optimizer.param_groups[0]["lr"] = rate

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Now and then, whether the ranks still agree."""
        if (self.searcher.step + 1) % self.agreement_every == 0:
            self._require_agreement()

    def on_train_epoch_end(self) -> None:
        """Logs what the cells look like now. Raises UserError where the search has diverged, RuntimeError where the ranks have."""
        numbers = self.watched()
        self._require_agreement()
        self.log_dict(numbers, sync_dist=True)

    def watched(self) -> dict[str, float]:
        """The numbers of an epoch: `describe`, what the searcher names, and the stage where there are several."""
        staged = type(self.searcher).stage is not Searcher.stage
        return self.describe() | self.searcher.figures() | ({"stage": float(self.stage.number)} if staged else {})

    def describe(self) -> dict[str, float]:
        """What to watch in the search, at the end of every epoch. Raises UserError where it has gone astray."""
        return {}

    def agreed(self) -> dict[str, list[Tensor]]:
        """Tensors that must be the same on every rank, by what they are called."""
        return {"the architecture α": list(self.searcher.parameters()), "the supernet's weights": list(self._weights)}

    def _begin_epoch(self) -> None:
        """Once an epoch, before its first batch; where it is the first of a stage, the stage begins."""
        self.searcher.epoch_start(self.current_epoch, self.trainer.max_epochs or 1)
        if (stage := self._stage_now).number != self.stage.number:
            old, new = self._shape(stage), self.network
            if not stage.fresh:
                from robnas.space.widen import carry

                carry(cast("Supernet", old), cast("Supernet", new))
            rewire(self.trainer)

    def _require_agreement(self) -> None:
        for what, tensors in self.agreed().items():
            if tensors:
                collectives.require_agreement(tensors, what)

    @property
    def _stage_now(self) -> Stage:
        return self.searcher.stage(self.current_epoch, self.trainer.max_epochs or 1)

    @property
    def _since(self) -> int:
        """Epochs of this stage that are over."""
        return self.current_epoch - self._stage_now.first

    @property
    def _warm(self) -> bool:
        """Whether the architecture no longer stands still."""
        return self._since >= self.architecture_warmup

    # A step of the weights

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

    def _noise(self, purpose: str) -> int:
        """Seed of dropout and the like, for one purpose in one step: the same on every rank.

        The supernet draws its dropout for the batch of all ranks and takes the rows of its own inputs, so that two ranks drop what one
        process drops; that needs one stream for all.
        """
        return seeds.derive(self.seed, "noise", purpose, self.searcher.step)

    @property
    def _weight_optimizer(self) -> Any:
        optimizers = self.optimizers()
        return optimizers[0] if isinstance(optimizers, list) else optimizers


def cosine(epoch: int, epochs: int, first: float, last: float) -> float:
    """Learning rate of an epoch, from `first` to `last` (Loshchilov and Hutter, 2017, without restarts)."""
    return last + (first - last) * (1 + math.cos(math.pi * epoch / epochs)) / 2
