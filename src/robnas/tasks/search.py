"""Architecture search as bi-level optimisation (Eq. 4): weights on one half of the training data, architecture on the other."""

import math
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, ClassVar

import torch
from lightning.pytorch import Callback, LightningModule
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.nn.parallel import DistributedDataParallel

from robnas import collectives, seeds
from robnas.errors import require, unknown
from robnas.models.normalize import Normalize
from robnas.search.base import Relaxed, Searcher
from robnas.search.summary import describe
from robnas.space.search_space import Space
from robnas.tasks import bilevel
from robnas.tasks.chronicle import Chronicle
from robnas.tasks.same import plain, require_same, space_of

ORDERS = ("first", "second", "exact")
"""How w*(α) is approximated: by w; by one SGD step, curvature by a finite difference (published) or by differentiating twice."""

PRECISIONS = ("32-true", "64-true", "bf16-mixed")
"""16-mixed would need its loss scaled, also inside the finite difference."""

_SPACE = Space()


class Search(LightningModule):
    """DARTS and its relatives (Liu et al., 2019), with n_step of §5.2.

    Weights: SGD, its rate a cosine over the epochs. Architecture: Adam with β = (0.5, 0.999). Both see disjoint halves of the training
    data; before every `n_step`-th weight step comes an architecture step. Only weight steps move the running statistics of batch norm.

    Args:
        searcher: turns α into a mixture of operations and α into an architecture.
        space: which operations, how many nodes.
        layers: cells of the supernet; the reduction cells stand at a third and at two thirds.
        init_channels: channels of a node in the first cells.
        n_step: weight steps for each architecture step (§5.2 (i): 5).
        order: "first", "second" (finite difference) or "exact" (double backward).
        learning_rate: of the weights, at the start.
        learning_rate_min: of the weights, where the cosine ends.
        momentum: of the weights' SGD.
        weight_decay: of the weights.
        gradient_clip: largest L2 norm of the weights' gradient; 0 does not clip.
        architecture_learning_rate: of α, constant.
        architecture_weight_decay: of α.
        architecture_warmup: epochs in which α stands still.
        batch_norm_across_ranks: batch statistics over all ranks, so that two processes equal one.
        seed: of weights, α and noise; that of `seed_everything` if not given.
    """

    data_split = "halves"
    agreement_every = 100  # weight steps
    # Eight epochs of digits are 18 architecture steps at n_step 5: at the published 3e-4 α would end where it began, and γ would act on
    # noise. At 0.1 the α of an edge end about 2 apart, and γ = ½ is a shift of ln 2 = 0.7.
    scales: ClassVar[dict[str, dict[str, Any]]] = {
        "tiny": {
            "layers": 3,
            "init_channels": 4,
            "learning_rate": 0.05,
            "architecture_learning_rate": 0.1,
            "trainer": {"max_epochs": 8},
        },
    }

    def __init__(
        self,
        searcher: Searcher,
        space: Space = _SPACE,
        layers: int = 8,
        init_channels: int = 16,
        n_step: int = 1,
        order: str = "first",
        learning_rate: float = 0.025,
        learning_rate_min: float = 1e-3,
        momentum: float = 0.9,
        weight_decay: float = 3e-4,
        gradient_clip: float = 5.0,
        architecture_learning_rate: float = 3e-4,
        architecture_weight_decay: float = 1e-3,
        architecture_warmup: int = 0,
        batch_norm_across_ranks: bool = True,
        seed: int | None = None,
    ) -> None:
        super().__init__()
        require(layers >= 1, f"layers: {layers} is less than 1")
        require(init_channels >= 1, f"init_channels: {init_channels} is less than 1")
        require(n_step >= 1, f"n_step: {n_step} is less than 1")
        if order not in ORDERS:
            raise unknown("order", order, ORDERS)
        require(learning_rate > 0, f"learning_rate: {learning_rate} is not positive")
        require(0 <= learning_rate_min <= learning_rate, f"learning_rate_min: {learning_rate_min} is not in [0, {learning_rate}]")
        require(0 <= momentum < 1, f"momentum: {momentum} is not in [0, 1)")
        require(weight_decay >= 0, f"weight_decay: {weight_decay} is negative")
        require(gradient_clip >= 0, f"gradient_clip: {gradient_clip} is negative")
        require(architecture_learning_rate > 0, f"architecture_learning_rate: {architecture_learning_rate} is not positive")
        require(architecture_weight_decay >= 0, f"architecture_weight_decay: {architecture_weight_decay} is negative")
        require(architecture_warmup >= 0, f"architecture_warmup: {architecture_warmup} is negative")
        self.automatic_optimization = False
        self.searcher = Relaxed.of(searcher)
        self.space = space_of(space)
        self.layers, self.init_channels, self.n_step, self.order = layers, init_channels, n_step, order
        self.learning_rate, self.learning_rate_min, self.momentum = learning_rate, learning_rate_min, momentum
        self.weight_decay, self.gradient_clip = weight_decay, gradient_clip
        self.architecture_learning_rate, self.architecture_weight_decay = architecture_learning_rate, architecture_weight_decay
        self.architecture_warmup, self.batch_norm_across_ranks = architecture_warmup, batch_norm_across_ranks
        self.seed = seeds.of_run(seed)
        self.network: nn.Module | None = None
        self.data: dict[str, Any] = {}
        self._epoch_begun = -1

    # Building

    def configure_callbacks(self) -> list[Callback]:
        """What the search did, kept over a resume, written and drawn at the end."""
        return [Chronicle()]

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

    def configure_optimizers(self) -> Any:
        """Of the weights and of α. The cosine is set at each step, from the epoch: there is no schedule to restore."""
        weights = torch.optim.SGD(self._weights, self.learning_rate, momentum=self.momentum, weight_decay=self.weight_decay)
        rate, decay = self.architecture_learning_rate, self.architecture_weight_decay
        return [weights, torch.optim.Adam(self._alpha, rate, betas=(0.5, 0.999), weight_decay=decay)]

    # Steps

    def on_train_start(self) -> None:
        """DDP has sent the weights to every rank; α is hidden from it."""
        collectives.broadcast_([a.data for a in self._alpha])

    def training_step(self, batch: Mapping[str, Any], batch_idx: int) -> dict[str, Tensor]:
        """Eq. 4. batch: "train" and "valid", each (x: [B, C, H, W] in [0, 1], y: [B], index). → {"loss": of the weight step}."""
        epochs, step = self.trainer.max_epochs or 1, self.global_step
        if self._epoch_begun < self.current_epoch:  # not a hook of Lightning: those are left out where a run goes on in mid-epoch
            self.searcher.epoch_start(self.current_epoch, epochs)
            self._epoch_begun = self.current_epoch
        self.searcher.step = step
        weights, alpha = self.optimizers()  # type: ignore[attr-defined]
        weights.param_groups[0]["lr"] = cosine(self.current_epoch, epochs, self.learning_rate, self.learning_rate_min)
        if self.current_epoch >= self.architecture_warmup and step % self.n_step == 0:
            self._architecture_step(batch, weights.optimizer, alpha.optimizer)
        loss = self._weight_step(batch["train"], weights)
        if (step + 1) % self.agreement_every == 0:
            self._require_agreement()
        return {"loss": loss}

    def _architecture_step(self, batch: Mapping[str, Any], weights: torch.optim.Optimizer, alpha: torch.optim.Optimizer) -> None:
        train, valid = (self._repeatable(batch[half], half) for half in ("train", "valid"))
        with self._frozen_statistics():
            if self.order == "first":
                gradient = bilevel.first_order(valid, self._alpha, self._weights)
            else:
                product = bilevel.finite_difference if self.order == "second" else bilevel.exact
                with torch.autocast(self.device.type, enabled=False):  # a difference of two nearly equal gradients
                    gradient = bilevel.second_order(train, valid, self._alpha, bilevel.Inner.of(weights), product)
        for a, g in zip(self._alpha, gradient, strict=True):
            a.grad = g
        alpha.step()  # the raw optimizer: Lightning counts weight steps alone, so that global_step is the number of batches

    def _weight_step(self, batch: Any, optimizer: Any) -> Tensor:
        with bilevel.noise(self._noise("weights"), self.device):
            logits = self._logits(batch[0])
        loss = cross_entropy(logits, batch[1])
        for w, g in zip(self._weights, bilevel.weight_gradient(loss, self._weights), strict=True):
            w.grad = g
        if self.gradient_clip:
            nn.utils.clip_grad_norm_(self._weights, self.gradient_clip)
        optimizer.step()
        self._log("train", loss.detach(), logits.detach(), batch[1], on_epoch=True, on_step=False)
        return loss.detach()

    def _repeatable(self, batch: Any, half: str) -> bilevel.Loss:
        x, y = batch[0], batch[1]
        return bilevel.repeatable(lambda: cross_entropy(self._logits(x), y), self._noise(half), self.device)

    def _noise(self, purpose: str) -> int:
        """Seed of dropout and the like, for one purpose in one step; ranks see different inputs and draw different noise."""
        return seeds.derive(self.seed, "noise", purpose, self.global_step, collectives.rank())

    def _frozen_statistics(self) -> AbstractContextManager[Any]:
        frozen = getattr(self.network, "frozen_statistics", nullcontext)
        return frozen()

    def _require_agreement(self) -> None:
        collectives.require_agreement(self._alpha, "the architecture α")
        collectives.require_agreement(self._weights, "the supernet's weights")

    def on_train_epoch_end(self) -> None:
        """Logs what the cells look like now. Raises UserError where the search has diverged, RuntimeError where the ranks have."""
        for kind, alpha in self.searcher.alpha.items():
            finite = bool(alpha.isfinite().all())
            require(
                finite,
                f"the search diverged: α of the {kind} cell is not finite after epoch {self.current_epoch}; lower the learning rates",
            )
        self._require_agreement()
        self.log_dict(describe(self.searcher.derive(), self.searcher.weights(), self.space), sync_dist=True)

    # Evaluation of the supernet, with running statistics

    def forward(self, x: Tensor) -> Tensor:
        """x: [B, C, H, W] in [0, 1] → logits [B, classes] of the supernet as it is mixed now."""
        return self._logits(x)

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        """Loss and accuracy of the supernet on the validation data."""
        self._evaluate(batch, "valid")

    def test_step(self, batch: Any, batch_idx: int) -> None:
        """Loss and accuracy of the supernet on the test data."""
        self._evaluate(batch, "test")

    def predict_step(self, batch: Any, batch_idx: int) -> Tensor:
        """Class probabilities [B, classes] of the supernet."""
        return self(batch[0]).softmax(-1)  # type: ignore[no-any-return]

    def _evaluate(self, batch: Any, split: str) -> None:
        logits = self(batch[0])
        self._log(split, cross_entropy(logits, batch[1]), logits, batch[1])

    def _log(self, split: str, loss: Tensor, logits: Tensor, y: Tensor, **when: bool) -> None:
        accuracy = (logits.argmax(1) == y).float().mean()
        self.log_dict({f"{split}/loss": loss, f"{split}/accuracy": accuracy}, prog_bar=True, sync_dist=True, batch_size=len(y), **when)  # type: ignore[arg-type]

    def _logits(self, x: Tensor) -> Tensor:
        assert self.network is not None
        return self.network(self.normalize(x.to(next(self.network.parameters()).dtype)), self.searcher.mixture())  # type: ignore[no-any-return]

    @property
    def _weights(self) -> list[nn.Parameter]:
        assert self.network is not None
        return [w for w in self.network.parameters() if w.requires_grad]

    @property
    def _alpha(self) -> list[nn.Parameter]:
        return list(self.searcher.parameters())

    # Checkpoints

    @property
    def architecture(self) -> dict[str, Any]:
        """Everything that makes this task again, in plain values."""
        return plain(self)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """The checkpoint alone says what it is a checkpoint of: plain values, which load with weights_only."""
        checkpoint["hyper_parameters"] = self.architecture
        checkpoint["searcher"] = {"epoch_begun": self._epoch_begun, "state": self.searcher.state()}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Raises UserError where the checkpoint is of another architecture, other classes or other images."""
        theirs = checkpoint.get("hyper_parameters", {})
        require("searcher" in theirs and "data" in theirs, "the checkpoint is not one of a search")
        if self.network is None:
            self._build(theirs["data"])
        require_same(theirs, self.architecture)
        self._epoch_begun = checkpoint["searcher"]["epoch_begun"]
        self.searcher.rebuild(checkpoint["searcher"]["state"])


def cosine(epoch: int, epochs: int, first: float, last: float) -> float:
    """Learning rate of an epoch, from `first` to `last` (Loshchilov and Hutter, 2017, without restarts)."""
    return last + (first - last) * (1 + math.cos(math.pi * epoch / epochs)) / 2
