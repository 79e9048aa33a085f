"""A supernet and its searcher as a LightningModule: built for the data at hand, evaluated, saved and read back."""

from abc import ABC, abstractmethod
from contextlib import AbstractContextManager, nullcontext
from typing import Any, ClassVar

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.nn.parallel import DistributedDataParallel

from robnas import seeds
from robnas.errors import UserError, require
from robnas.models.normalize import Normalize
from robnas.search.base import Searcher, Stage
from robnas.space.mixture import Mixture
from robnas.space.search_space import Space
from robnas.tasks.same import plain, require_same, space_of
from robnas.tasks.search_rows import name_of


class SupernetModule(LightningModule, ABC):
    """Computes what `mixture` says. How it is trained is `SupernetTask`'s.

    Args:
        searcher: what looks for an architecture.
        space: which operations, how many nodes.
        layers: cells of the supernet; the reduction cells stand at a third and at two thirds.
        init_channels: channels of a node in the first cells.
        batch_norm_across_ranks: batch statistics over all ranks, so that two processes equal one.
        seed: of weights, α and noise; that of `seed_everything` if not given.
    """

    runs: ClassVar[type[Searcher]] = Searcher  # type: ignore[type-abstract]
    """The searchers that this task can run."""

    def __init__(
        self,
        searcher: Searcher,
        space: Space,
        layers: int = 8,
        init_channels: int = 16,
        batch_norm_across_ranks: bool = True,
        seed: int | None = None,
    ) -> None:
        super().__init__()
        require(layers >= 1, f"layers: {layers} is less than 1")
        require(init_channels >= 1, f"init_channels: {init_channels} is less than 1")
        self.searcher: Searcher = Searcher.of(searcher)
        name, task = type(self.searcher).__name__, type(self).__name__
        if not isinstance(self.searcher, self.runs):
            own = type(self.searcher).__module__.startswith("robnas.")  # each of these has a config of its name
            use = f"; use --config {name_of(self.searcher)}.yaml" if own else ""
            raise UserError(f"searcher: {name} is not run by {task}; its task is {self.searcher.task}{use}")
        self.space = space_of(space)
        self.layers, self.init_channels, self.batch_norm_across_ranks = layers, init_channels, batch_norm_across_ranks
        self.seed = seeds.of_run(seed)
        self.network: nn.Module | None = None
        self.data: dict[str, Any] = {}
        self.stage = Stage()
        """That of the supernet as it stands."""
        self._epoch_begun = -1

    @abstractmethod
    def mixture(self) -> Mixture:
        """What the supernet computes where it is evaluated as a whole."""

    # Building

    def configure_model(self) -> None:
        """Builds supernet and α for the data's classes and images; Lightning calls this once the data are known."""
        if self.network is None and self._trainer is not None:
            data = self.trainer.datamodule  # type: ignore[attr-defined]
            known = {"num_classes": data.num_classes, "image_shape": list(data.image_shape), "class_names": list(data.class_names)}
            moments = {"mean": list(data.mean), "std": list(data.std)}
            self._build(known | moments, self.searcher.stage(0, self.trainer.max_epochs or 1))

    def build_supernet(self, num_classes: int, in_channels: int) -> nn.Module:
        """A module with `forward(x: [B, C, H, W], mixture) -> logits` and `frozen_statistics()`, of the shape that `stage` asks for."""
        from robnas.space.supernet import Supernet

        return Supernet(
            self.space,
            num_classes=num_classes,
            in_channels=in_channels,
            layers=self.layers + self.stage.layers,
            init_channels=self.init_channels,
            across_ranks=self.batch_norm_across_ranks,
            partial=self.stage.partial,
        )

    def _build(self, data: dict[str, Any], stage: Stage) -> None:
        self.data = data
        self.normalize = Normalize(data["mean"], data["std"])
        self._shape(stage)
        self.searcher.build(self.space, self.seed)
        hidden = [f"searcher.{name}" for name, _ in [*self.searcher.named_parameters(), *self.searcher.named_buffers()]]
        DistributedDataParallel._set_params_and_buffers_to_ignore_for_model(self, hidden)  # type: ignore[no-untyped-call]

    def _shape(self, stage: Stage) -> nn.Module | None:
        """A supernet of that stage with weights of its own takes the old one's place → the old one, if there was one."""
        self.stage, old = stage, self.network
        with torch.device("cpu"), torch.random.fork_rng([]):  # the same weights on every kind of device
            torch.manual_seed(seeds.derive(self.seed, "weights", *([stage.number] if stage.number else [])))
            network = self.build_supernet(self.data["num_classes"], self.data["image_shape"][0])
        if old is not None and (like := next(old.parameters(), None)) is not None:
            network.train(old.training).to(like)
        self.network = network.to(memory_format=torch.channels_last)
        return old

    # Computing

    def forward(self, x: Tensor) -> Tensor:
        """x: [B, C, H, W] in [0, 1] → logits [B, classes] of the supernet as it is mixed now."""
        return self._logits(x, self.mixture())

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        """Loss and accuracy of the supernet on the validation data, with running statistics."""
        self._evaluate(batch, "valid")

    def test_step(self, batch: Any, batch_idx: int) -> None:
        """Loss and accuracy of the supernet on the test data, with running statistics."""
        self._evaluate(batch, "test")

    def predict_step(self, batch: Any, batch_idx: int) -> Tensor:
        """Class probabilities [B, classes] of the supernet."""
        return self(batch[0]).softmax(-1)  # type: ignore[no-any-return]

    def _logits(self, x: Tensor, mixture: Mixture) -> Tensor:
        """x: [B, C, H, W] in [0, 1] → logits [B, classes] of the supernet that computes `mixture`."""
        assert self.network is not None
        return self.network(self.normalize(x.to(next(self.network.parameters()).dtype)), mixture)  # type: ignore[no-any-return]

    def _evaluate(self, batch: Any, split: str) -> None:
        logits = self(batch[0])
        self._log(split, cross_entropy(logits, batch[1]), logits, batch[1])

    def _log(self, split: str, loss: Tensor, logits: Tensor, y: Tensor, **when: bool) -> None:
        accuracy = (logits.argmax(1) == y).float().mean()
        self.log_dict({f"{split}/loss": loss, f"{split}/accuracy": accuracy}, prog_bar=True, sync_dist=True, batch_size=len(y), **when)  # type: ignore[arg-type]

    def _frozen_statistics(self) -> AbstractContextManager[Any]:
        frozen = getattr(self.network, "frozen_statistics", nullcontext)
        return frozen()

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
        now = {"epoch_begun": self._epoch_begun, "stage": self.stage._asdict(), "state": self.searcher.state()}
        checkpoint["searcher"] = now

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Raises UserError where the checkpoint is of another architecture, other classes or other images."""
        theirs, data = checkpoint.get("hyper_parameters", {}), checkpoint.get("data")
        if "searcher" not in theirs or data is None:
            raise UserError("the checkpoint is not one of a search")
        now = checkpoint["searcher"]
        stage = Stage(**now["stage"])
        if self.network is None:
            self._build(data, stage)
        require_same(theirs | {"data": data}, self.architecture)
        if stage != self.stage:  # its weights fit no other supernet
            self._shape(stage)
        self._epoch_begun = now["epoch_begun"]
        self.searcher.rebuild(now["state"])
