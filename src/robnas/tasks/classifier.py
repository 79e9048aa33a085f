"""Training of a final model by one recipe (§3.1, Table 6), the same for every network."""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import torch
from lightning.pytorch import Callback, LightningModule
from torch import Tensor
from torch.nn.functional import cross_entropy
from torchmetrics import Metric
from torchmetrics.classification import MulticlassAccuracy

from robnas import batch_norm, seeds
from robnas.errors import UserError, require, unknown
from robnas.initialise import INITIALISATIONS, kaiming_
from robnas.metrics.mean import BatchMean
from robnas.models.build import as_network, check, describe, of_architecture
from robnas.models.load import load
from robnas.models.normalize import Normalized
from robnas.tasks import compilation, first_batch, recipe
from robnas.tasks.averaging import ExponentialAverage

DATA = ("num_classes", "image_shape", "class_names", "mean", "std")
"""What a data module says of its data, and a checkpoint keeps."""

MARKS = ("attacked", "defended")
"""What callbacks have done to the training of these weights, which all who load them are told."""

RECIPE = (
    *("learning_rate", "momentum", "weight_decay", "gradient_clip", "auxiliary_weight", "label_smoothing", "batch_norm_across_ranks"),
    *("warmup_epochs", "ema", "initialisation", "channels_last", "compile_network"),
)
"""Arguments of `Classifier` that do not change what its weights mean."""


class Classifier(LightningModule):
    """SGD with momentum, a cosine from `learning_rate` to zero over the run, gradients clipped (Table 6).

    Args:
        network: a published cell's name, a genotype file, the run folder of a search, or a model plug-in's name.
        size: "paper" (for cells: 20 of them, 36 channels) or "tiny" (for small images and two cores).
        options: further arguments of the network: for cells layers, init_channels, auxiliary, drop_path, dropout.
        cell_options: the same, where the network is made of cells; of any other they are none.
        learning_rate: at the start.
        momentum: of SGD; the paper gives none, the authors' code 0.9.
        weight_decay: of SGD; the paper gives none, the authors' code 5e-4.
        gradient_clip: largest L2 norm of the gradient; 0 does not clip.
        auxiliary_weight: share of the auxiliary head's loss, where the network has one (Liu et al., 2019: 0.4).
        label_smoothing: share of a label spread over all classes.
        batch_norm_across_ranks: batch statistics over all ranks, so that two processes equal one.
        warmup_epochs: in which the learning rate rises in a line, before the cosine (Goyal et al., 2017).
        ema: share of the average of the weights that a step keeps, such as 0.999, and less at first (`ExponentialAverage`); then the
            average is what is validated, tested and kept. 0: none.
        initialisation: "own", as the authors of each family draw, or "kaiming", alike for all (`robnas.initialise`).
        channels_last: memory layout in which convolutions are fastest.
        compile_network: train through `torch.compile`, which needs a C++ compiler and a minute or more before the first step.
        init_from: run folder, checkpoint or export whose weights training starts from; of the same network, classes and images.
    """

    data_split = "whole"
    scales: ClassVar[dict[str, dict[str, Any]]] = {"tiny": {"size": "tiny", "trainer": {"max_epochs": 25}}}

    def __init__(
        self,
        network: str = "darts",
        size: str = "paper",
        options: dict[str, Any] | None = None,
        cell_options: dict[str, Any] | None = None,
        learning_rate: float = 0.025,
        momentum: float = 0.9,
        weight_decay: float = 5e-4,
        gradient_clip: float = 5.0,
        auxiliary_weight: float = 0.4,
        label_smoothing: float = 0.0,
        batch_norm_across_ranks: bool = True,
        warmup_epochs: int = 0,
        ema: float = 0.0,
        initialisation: str = "own",
        channels_last: bool = True,
        compile_network: bool = False,
        init_from: str | None = None,
    ) -> None:
        super().__init__()
        require(learning_rate > 0, f"learning_rate: {learning_rate} is not positive")
        require(0 <= momentum < 1, f"momentum: {momentum} is not in [0, 1)")
        require(weight_decay >= 0, f"weight_decay: {weight_decay} is negative")
        require(gradient_clip >= 0, f"gradient_clip: {gradient_clip} is negative")
        require(auxiliary_weight >= 0, f"auxiliary_weight: {auxiliary_weight} is negative")
        require(0 <= label_smoothing < 1, f"label_smoothing: {label_smoothing} is not in [0, 1)")
        require(warmup_epochs >= 0, f"warmup_epochs: {warmup_epochs} is negative")
        require(0 <= ema < 1, f"ema: {ema} is not in [0, 1)")
        if initialisation not in INITIALISATIONS:
            raise unknown("initialisation", initialisation, INITIALISATIONS)
        self.description = describe(network)
        of_cells = (cell_options or {}) if "genotype" in self.description else {}
        self.size, self.options = size, {**of_cells, **(options or {})}
        check(self.description, self.size, self.options)
        self.learning_rate, self.momentum, self.weight_decay = learning_rate, momentum, weight_decay
        self.gradient_clip, self.auxiliary_weight, self.label_smoothing = gradient_clip, auxiliary_weight, label_smoothing
        self.batch_norm_across_ranks, self.warmup_epochs, self.ema = batch_norm_across_ranks, warmup_epochs, ema
        self.initialisation, self.channels_last, self.compile_network = initialisation, channels_last, compile_network
        self.init_from = init_from
        self.attacked: dict[str, Any] = {}  # by name, how the training of these weights was attacked, and defended: every checkpoint
        self.defended: dict[str, Any] = {}  # says it
        self.soft_labels: Callable[[Tensor], Tensor] | None = None  # index: [B] → [B, classes], in the place of labels: a callback's
        self.data: dict[str, Any] = {}
        self.model: Normalized | None = None
        self._looked = False  # at the data

    # Building

    def setup(self, stage: str) -> None:
        """Raises UserError for a training whose learning rate has nowhere to go."""
        if stage == "fit":
            self.soft_labels = None  # of an earlier training
            recipe.require_epochs(self.trainer.max_epochs, self.warmup_epochs)

    def configure_callbacks(self) -> list[Callback]:
        """What averages the weights, where that is wanted."""
        return [ExponentialAverage(self.ema)] if self.ema else []

    def configure_model(self) -> None:
        """Builds the network for the data's classes and images; Lightning calls this once the data are known."""
        if self._trainer is None:  # `load_from_checkpoint`: the checkpoint knows the data
            return
        if self.model is None:
            data = self.trainer.datamodule  # type: ignore[attr-defined]
            missing = [name for name in DATA if not hasattr(data, name)]
            require(not missing, f"data: a data module is needed that says its {', '.join(missing)}, but here it is {type(data).__name__}")
            shape, names = list(data.image_shape), list(data.class_names)
            means = {"mean": list(data.mean), "std": list(data.std)}
            self._build({"num_classes": data.num_classes, "image_shape": shape, "class_names": names} | means)
            if self.init_from and self.trainer.state.fn == "fit" and not self.trainer.ckpt_path:
                self._start_from(self.init_from)
        if self.batch_norm_across_ranks and self.trainer.world_size > 1:
            batch_norm.convert(self.model)  # type: ignore[type-var]
        if self.compile_network:
            compilation.compile_(self.network, self.options)

    def _build(self, data: dict[str, Any]) -> None:
        self.data = data
        self.model = self.untrained(self.initialisation)
        if not self.channels_last:
            self.model.to(memory_format=torch.contiguous_format)
        # Checking every label would make the processor wait for the device at every step.
        metric = MulticlassAccuracy(data["num_classes"], average="micro", validate_args=False)
        self.train_loss = BatchMean()
        self.train_accuracy, self.valid_accuracy, self.test_accuracy = metric, metric.clone(), metric.clone()

    def untrained(self, initialisation: str) -> Normalized:
        """The network with the weights that the run's seed draws, whatever this one has learnt. initialisation: "own" or "kaiming"."""
        with torch.device("cpu"), torch.random.fork_rng([]):  # the same weights on every kind of device
            torch.manual_seed(seeds.derive(seeds.of_run(), "weights"))
            model = of_architecture(self.architecture)
            if initialisation == "kaiming":
                kaiming_(model.network, seeds.of_run())
        return model

    def _start_from(self, source: str) -> None:
        theirs = load(source)
        other: Mapping[str, Any] = getattr(theirs, "architecture", None) or {}
        require(bool(other), f"init_from: {source} is not a model that robnas has trained")
        self._require_same(other, f"init_from: {source}")
        assert self.model is not None
        self.model.load_state_dict(theirs.state_dict())
        self._inherit({mark: getattr(theirs, mark, {}) for mark in MARKS})

    # Checkpoints

    @property
    def architecture(self) -> dict[str, Any]:
        """Everything that makes the model again, in plain values."""
        return {"description": self.description, "size": self.size, "options": self.options} | self.data

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """The checkpoint alone says what it is a checkpoint of: plain values, which load with weights_only."""
        named = {"network": as_network(self.description)}  # `load_from_checkpoint` asks the constructor first
        checkpoint["hyper_parameters"] = self.architecture | named | {name: getattr(self, name) for name in RECIPE}
        checkpoint["hyper_parameters"] |= {mark: getattr(self, mark) for mark in MARKS if getattr(self, mark)}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Raises UserError where the checkpoint is of another architecture, other classes or other images."""
        theirs = checkpoint.get("hyper_parameters", {})
        require("description" in theirs and "num_classes" in theirs, "the checkpoint is not one of a classifier")
        if self.model is None:
            self.description, self.size, self.options = theirs["description"], theirs["size"], theirs["options"]
            self._build({name: theirs[name] for name in DATA})
        self._require_same(theirs, "the checkpoint")
        self._inherit(theirs)

    def _inherit(self, theirs: Mapping[str, Any]) -> None:
        for mark in MARKS:
            setattr(self, mark, {**theirs.get(mark, {}), **getattr(self, mark)})

    def _require_same(self, architecture: Mapping[str, Any], name: str) -> None:
        other = _identity(architecture)
        for key, mine in _identity(self.architecture).items():
            if other[key] != mine:
                raise UserError(f"{name} is of another architecture: its {key} is {_short(other[key])}, but here it is {_short(mine)}")

    # Steps

    def forward(self, x: Tensor) -> Tensor:
        """x: [B, C, H, W] in [0, 1] → logits [B, classes]."""
        assert self.model is not None, "the network is built once a Trainer knows the data, or by load_from_checkpoint"
        return compilation.run(self.model, x) if self.compile_network else self.model(x)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """One step of Eq. 1's training problem; an auxiliary head's loss is added."""
        x, y = batch[:2]
        if not self._looked:
            first_batch.look(x, y, self.data["image_shape"], self.data["num_classes"])
            self._looked = True
        if final := self.options.get("drop_path", 0.0):  # not a hook of Lightning: those are left out where a run goes on in mid-epoch
            self.network.drop_path = linear(self.current_epoch, self.trainer.max_epochs or 1, final)
        total, loss, logits = self.objective(batch)
        self.train_loss.update(loss.detach(), len(x))
        self.train_accuracy.update(logits, y)
        if self.trainer.is_last_batch or 0 < self.trainer.max_steps <= self.global_step + 1:  # a call of `log` takes half a millisecond
            self.log("train/loss", self.train_loss, on_epoch=True, on_step=False, prog_bar=True)
            self.log("train/accuracy", self.train_accuracy, on_epoch=True, on_step=False, prog_bar=True)
        return total

    def objective(self, batch: Any) -> tuple[Tensor, Tensor, Tensor]:
        """A batch (x, y, …) → what is minimised, the loss that is shown, both scalars, and logits [B, classes]."""
        x, y = batch[:2]
        logits = self(x)
        if self.soft_labels is not None:
            y = self.soft_labels(batch[2])
        loss = cross_entropy(logits, y, label_smoothing=self.label_smoothing)
        if (auxiliary := getattr(self.network, "auxiliary_logits", None)) is None:
            return loss, loss, logits
        return loss + self.auxiliary_weight * cross_entropy(auxiliary, y, label_smoothing=self.label_smoothing), loss, logits

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        """Loss and accuracy on data held out from training."""
        self._evaluate(batch, "valid", self.valid_accuracy)

    def test_step(self, batch: Any, batch_idx: int) -> Tensor:
        """Loss and accuracy on the test data → [B] the classes that are answered."""
        return self._evaluate(batch, "test", self.test_accuracy).argmax(1)

    def predict_step(self, batch: Any, batch_idx: int) -> Tensor:
        """Class probabilities [B, classes]."""
        return self(batch[0]).softmax(-1)  # type: ignore[no-any-return]

    def configure_optimizers(self) -> Any:
        """Table 6: SGD, cosine annealing per epoch."""
        sgd = recipe.sgd(self.parameters(), self.learning_rate, self.momentum, self.weight_decay)
        return [sgd], [recipe.schedule(sgd, self.trainer.max_epochs or 1, self.warmup_epochs)]

    def configure_gradient_clipping(self, optimizer: Any, gradient_clip_val: Any = None, gradient_clip_algorithm: Any = None) -> None:
        """Table 6: threshold 5.0; a Trainer's own `gradient_clip_val` goes first, and where it is 0 nothing is clipped."""
        if limit := self.gradient_clip if gradient_clip_val is None else gradient_clip_val:
            self.clip_gradients(optimizer, limit, gradient_clip_algorithm or "norm")

    @property
    def network(self) -> Any:
        """The network behind its normalisation."""
        assert self.model is not None
        return self.model.network

    def _evaluate(self, batch: Any, split: str, accuracy: Metric) -> Tensor:
        x, y = batch[:2]
        logits: Tensor = self(x)
        accuracy.update(logits, y)
        self.log(f"{split}/loss", cross_entropy(logits, y), sync_dist=True, batch_size=len(x))
        self.log(f"{split}/accuracy", accuracy, prog_bar=True)
        return logits


def linear(epoch: int, epochs: int, final: float) -> float:
    """Probability of drop path in an epoch: it grows from 0 towards `final` (Zoph et al., 2018)."""
    return final * epoch / epochs


def _identity(architecture: Mapping[str, Any]) -> dict[str, Any]:
    """What must be equal for weights to mean the same. A cell is its genotype, whatever the file is called that it came from."""
    description = architecture["description"]
    network = {"network": description.get("genotype") or description.get("plugin")}
    return {key: architecture.get(key) for key in ("num_classes", "image_shape", "class_names", "size", "options")} | network


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}…"
