"""Training of a final model by one recipe (§3.1, Table 6), the same for every network."""

from typing import Any, ClassVar

import torch
from lightning.pytorch import LightningModule
from torch import Tensor
from torch.nn.functional import cross_entropy
from torchmetrics import Metric
from torchmetrics.classification import MulticlassAccuracy

from robnas import batch_norm, seeds
from robnas.errors import UserError, require
from robnas.models.build import build, describe
from robnas.models.normalize import Normalized


class Classifier(LightningModule):
    """SGD with momentum, a cosine from `learning_rate` to zero over the run, gradients clipped (Table 6).

    Args:
        network: a published cell's name, a genotype file, the run folder of a search, or a model plug-in's name.
        size: "paper" (for cells: 20 of them, 36 channels) or "tiny" (for small images and two cores).
        options: further arguments of the network: for cells layers, init_channels, auxiliary, drop_path, dropout.
        learning_rate: at the start.
        momentum: of SGD; the paper gives none, the authors' code 0.9.
        weight_decay: of SGD; the paper gives none, the authors' code 5e-4.
        gradient_clip: largest L2 norm of the gradient; 0 does not clip.
        auxiliary_weight: share of the auxiliary head's loss, where the network has one (Liu et al., 2019: 0.4).
        label_smoothing: share of a label spread over all classes.
        batch_norm_across_ranks: batch statistics over all ranks, so that two processes equal one.
    """

    data_split = "whole"
    scales: ClassVar[dict[str, dict[str, Any]]] = {"tiny": {"size": "tiny", "trainer": {"max_epochs": 25}}}

    def __init__(
        self,
        network: str = "darts",
        size: str = "paper",
        options: dict[str, Any] | None = None,
        learning_rate: float = 0.025,
        momentum: float = 0.9,
        weight_decay: float = 5e-4,
        gradient_clip: float = 5.0,
        auxiliary_weight: float = 0.4,
        label_smoothing: float = 0.0,
        batch_norm_across_ranks: bool = True,
    ) -> None:
        super().__init__()
        require(learning_rate > 0, f"learning_rate: {learning_rate} is not positive")
        require(gradient_clip >= 0, f"gradient_clip: {gradient_clip} is negative")
        require(0 <= label_smoothing < 1, f"label_smoothing: {label_smoothing} is not in [0, 1)")
        self.description = describe(network)
        self.size, self.options = size, options or {}
        self.learning_rate, self.momentum, self.weight_decay = learning_rate, momentum, weight_decay
        self.gradient_clip, self.auxiliary_weight, self.label_smoothing = gradient_clip, auxiliary_weight, label_smoothing
        self.batch_norm_across_ranks = batch_norm_across_ranks
        self.model: Normalized | None = None

    def configure_model(self) -> None:
        """Builds the network for the data's classes and images; Lightning calls this once the data are known."""
        if self.model is not None:
            return
        data = self.trainer.datamodule  # type: ignore[attr-defined]
        self.architecture = {
            "description": self.description,
            "num_classes": data.num_classes,
            "image_shape": list(data.image_shape),
            "size": self.size,
            "options": self.options,
            "mean": list(data.mean),
            "std": list(data.std),
            "class_names": list(data.class_names),
        }
        torch.manual_seed(seeds.derive(seeds.of_run(), "weights"))
        network = build(self.description, num_classes=data.num_classes, image_shape=data.image_shape, size=self.size, options=self.options)
        self.model = Normalized(network, data.mean, data.std).to(memory_format=torch.channels_last)
        if self.batch_norm_across_ranks and self.trainer.world_size > 1:
            batch_norm.convert(self.model)
        metric = MulticlassAccuracy(data.num_classes, average="micro")
        self.train_accuracy, self.valid_accuracy, self.test_accuracy = metric, metric.clone(), metric.clone()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """The checkpoint alone says what it is a checkpoint of: plain values, which load with weights_only."""
        checkpoint["hyper_parameters"] = self.architecture

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Raises UserError where the checkpoint is of another architecture, other classes or other images."""
        theirs = checkpoint.get("hyper_parameters", {})
        for key in ("num_classes", "image_shape", "class_names", "description", "size", "options"):
            if theirs.get(key) != self.architecture[key]:
                raise UserError(
                    f"the checkpoint has another {key}: {_short(theirs.get(key))}, but this run has {_short(self.architecture[key])}"
                )

    def forward(self, x: Tensor) -> Tensor:
        """x: [B, C, H, W] in [0, 1] → logits [B, classes]."""
        assert self.model is not None
        return self.model(x)  # type: ignore[no-any-return]

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """One step of Eq. 1's training problem; with an auxiliary head its loss is added."""
        x, y, _ = batch
        logits = self(x)
        loss = cross_entropy(logits, y, label_smoothing=self.label_smoothing)
        total = loss
        if (auxiliary := getattr(self.network, "auxiliary_logits", None)) is not None:
            total = loss + self.auxiliary_weight * cross_entropy(auxiliary, y, label_smoothing=self.label_smoothing)
        self.train_accuracy(logits, y)
        self.log("train/loss", loss.detach(), on_epoch=True, on_step=False, prog_bar=True, sync_dist=True, batch_size=len(x))
        self.log("train/accuracy", self.train_accuracy, on_epoch=True, on_step=False, prog_bar=True)
        return total

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        """Loss and accuracy on data held out from training."""
        self._evaluate(batch, "valid", self.valid_accuracy)

    def test_step(self, batch: Any, batch_idx: int) -> None:
        """Loss and accuracy on the test data."""
        self._evaluate(batch, "test", self.test_accuracy)

    def predict_step(self, batch: Any, batch_idx: int) -> Tensor:
        """Class probabilities [B, classes]."""
        return self(batch[0]).softmax(-1)  # type: ignore[no-any-return]

    def on_train_epoch_start(self) -> None:
        """Drop path grows linearly to its final probability (Zoph et al., 2018)."""
        if (final := self.options.get("drop_path", 0.0)) and self.trainer.max_epochs:
            self.network.drop_path = final * self.current_epoch / self.trainer.max_epochs

    def configure_optimizers(self) -> Any:
        """Table 6: SGD, cosine annealing per epoch."""
        sgd = torch.optim.SGD(self.parameters(), self.learning_rate, momentum=self.momentum, weight_decay=self.weight_decay)
        return [sgd], [torch.optim.lr_scheduler.CosineAnnealingLR(sgd, self.trainer.max_epochs or 1)]

    def configure_gradient_clipping(self, optimizer: Any, gradient_clip_val: Any = None, gradient_clip_algorithm: Any = None) -> None:
        """Table 6: threshold 5.0; a Trainer's own `gradient_clip_val` goes first."""
        if limit := gradient_clip_val or self.gradient_clip:
            self.clip_gradients(optimizer, limit, gradient_clip_algorithm or "norm")

    @property
    def network(self) -> Any:
        """The network behind its normalisation."""
        assert self.model is not None
        return self.model.network

    def _evaluate(self, batch: Any, split: str, accuracy: Metric) -> None:
        x, y, _ = batch
        logits = self(x)
        accuracy(logits, y)
        self.log(f"{split}/loss", cross_entropy(logits, y), sync_dist=True, batch_size=len(x))
        self.log(f"{split}/accuracy", accuracy, prog_bar=True)


def _short(value: Any) -> str:
    text = str(value["name"] if isinstance(value, dict) and "name" in value else value)
    return text if len(text) <= 60 else f"{text[:57]}…"
