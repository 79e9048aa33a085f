"""The user's own model, looked at before anything is done to it, and then attacked, probed or tested like any other."""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torchmetrics.classification import MulticlassAccuracy

from robnas import collectives, copies
from robnas.errors import UserError, require
from robnas.models import foreign
from robnas.models.foreign_logits import OneLogit, Reordered
from robnas.models.load import load
from robnas.models.normalize import Normalized
from robnas.tasks import preflight
from robnas.tasks.first_inputs import first_inputs


class OwnModel(LightningModule):
    """Any network: pixels in [0, 1] → its own normalisation → logits. It is evaluated, never trained.

    Before anything else the model is shown beside the data (classes, normalisation, images, clean accuracy on the first `check_inputs`
    test images), and refused in one line where the two do not fit, or where it is at chance: where the 95% interval (Wilson) of its
    accuracy reaches down to the share of the most frequent class among those images, or to 1 / classes; or where its classes seem to be in
    another order: where relabelling at least half of them one to one would make it much better.

    TorchScript is a program: reading it runs no Python, but asking the model runs what its author wrote, which may write files. Take it, as
    every import path, from nobody whose code you would not run.

    Args:
        source: "mypackage.nets.Net", "net.py:Net", "timm:resnet18" (nothing is downloaded), a TorchScript file, a folder of `robnas
            export`, or a run folder; in Python also a module, which is copied.
        weights: a state_dict saved by torch (bare, or as training scripts wrap it), or a safetensors file.
        arguments: of the network's constructor, such as --model.arguments.num_classes=10.
        mean: of the network's own normalisation, in pixels of [0, 1]: a number a channel, [0.5, 0.5, 0.5], or one for all, 0.5; none if not
            given.
        std: likewise.
        class_names: in the order of the logits, such as [cat, dog]; those of the data if not given.
        map_classes: where the data have the same names in another order, put the logits into the data's order instead of refusing.
        one_logit: the network answers with one number, the log-odds of class 1 of two.
        image_shape: [channels, height, width] that the network was trained on, to be compared with the data's.
        name: in rows and tables; made from `source` if not given.
        check_inputs: test images, the first ones, of the look before all else.
        insist: go on at chance, or where classes seem to be in another order.
        unsafe_pickle: read files that can run any code while they are read: pickled modules, archives of torch.export (.pt2).
    """

    trained = True
    """Its weights come with it: an evaluation needs neither a run nor a checkpoint."""

    def __init__(
        self,
        source: str | nn.Module = "",
        weights: str | None = None,
        arguments: dict[str, Any] | None = None,
        mean: float | list[float] | None = None,
        std: float | list[float] | None = None,
        class_names: list[str] | str | None = None,
        map_classes: bool = False,
        one_logit: bool = False,
        image_shape: list[int] | None = None,
        name: str | None = None,
        check_inputs: int = 1000,
        insist: bool = False,
        unsafe_pickle: bool = False,
    ) -> None:
        super().__init__()
        require(
            source != "", "source: say which model, such as --model.source=net.py:Net, timm:resnet18, model.pt or a folder of robnas export"
        )
        require(check_inputs >= 1, f"check_inputs: {check_inputs} is not at least 1")
        require(image_shape is None or len(image_shape) == 3, f"image_shape: {image_shape} is not [channels, height, width]")
        names_said = f"class_names: {class_names!r} is not a list: write [cat, dog], and digits in quotes, ['0', '1']"
        require(not isinstance(class_names, str), names_said)
        options: dict[str, Any] = {"weights": weights, "arguments": arguments, "mean": mean, "std": std, "one_logit": one_logit}
        model = load(source, **options, unsafe_pickle=unsafe_pickle)
        if model is source:
            model = foreign.own_copy(model)
        self.model = model if isinstance(model, Normalized) else Normalized(model, [0.0], [1.0]).eval()
        known: Mapping[str, Any] = self.model.architecture or {}
        self.title = source if isinstance(source, str) else type(source).__name__
        self.class_names = _names(class_names) or _names(known.get("class_names"))
        self.image_shape = tuple(image_shape or known.get("image_shape") or ()) or None
        self.map_classes, self.one_logit, self.check_inputs, self.insist = map_classes, one_logit, check_inputs, insist
        own = {"name": name or foreign.title(self.title), "family": "custom"}
        self.description: dict[str, Any] = {**own, **known.get("description", {}), **({"name": name} if name else {})}
        self.origin = {"train_seed": None, "search_seed": None}  # that of an evaluation's config is the attack's
        self._code = foreign.code_digest(self.title)
        self._looked = False

    def fingerprint(self) -> str:
        """Names the weights and, where it is the user's own, the file with the code, for a job's identity."""
        return f"{copies.digest(self)}{self._code}"

    # Before anything else

    def setup(self, stage: str) -> None:
        """Raises UserError where classes, images or normalisation are not the data's."""
        require(stage != "fit", _NOT_TRAINED)
        data = self.trainer.datamodule  # type: ignore[attr-defined]
        names = _names(getattr(data, "class_names", None))
        self.classes = len(names) if names else getattr(data, "num_classes", None)
        shape = getattr(data, "image_shape", None)
        self.data_name = "the data" if data is None else str(getattr(data, "name", None) or type(data).__name__)
        preflight.same_images(self.image_shape, shape, self.model.normalize.mean.numel(), self.data_name)
        order = preflight.order_of_classes(self.class_names, names, self.map_classes, self.data_name)
        network = self._network
        self.model.network = network if order is None else Reordered(network, order)
        self.data_names = names
        classes = self.classes or len(self.class_names or ()) or 2
        self.valid_accuracy, self.test_accuracy = (
            MulticlassAccuracy(classes, average="micro", validate_args=False).to(self.device) for _ in range(2)
        )

    def on_test_start(self) -> None:
        """The look."""
        self._look(self.trainer.test_dataloaders)

    def on_validation_start(self) -> None:
        """The look, at what is validated on."""
        self._look(self.trainer.val_dataloaders)

    def on_predict_start(self) -> None:
        """The look."""
        self._look(self.trainer.predict_dataloaders)

    def _look(self, loader: Any) -> None:
        """Print what the model is beside the data; raise UserError where they do not fit, or at chance, or in another order of classes.

        All ranks agree.
        """
        if self._looked:
            return
        self._looked = True
        seen, fault = preflight.Seen(), ""
        try:
            self._ask(loader, seen)
        except UserError as error:  # of this rank's share; the others must hear of it, not wait
            fault = str(error)
        gathered = collectives.gather((seen, fault))
        for _, said in gathered:
            require(not said, said)
        total = preflight.Seen.together([part for part, _ in gathered])
        lines = [*self._itself(), *total.lines(self.data_names)]
        if collectives.rank() == 0:
            print("\n".join(lines), flush=True)
        if total.probable:  # it was said: attacks in this process, of whatever model, do not say it again
            warnings.filterwarnings("ignore", message="the model answers rows that sum to 1", category=UserWarning)
        if fault := total.in_another_order(self.data_names) or total.at_chance(self.data_names):
            require(self.insist, fault)

    @torch.no_grad()
    def _ask(self, loader: Any, seen: preflight.Seen) -> None:
        """Count the model's answers to the first inputs, as far as they are this rank's."""
        loaders = loader if isinstance(loader, list | tuple) else [loader]
        ranks = (collectives.rank(), collectives.world_size())
        for batch, keep, half in first_inputs(loaders, self.check_inputs, self.data_name, *ranks):
            x, y = self.trainer.strategy.batch_to_device(batch, dataloader_idx=0)[:2]
            x, y = x[keep.to(x.device)], y[keep.to(y.device)]
            preflight.in_range(x, self.data_name)
            seen.add(self._checked(x), y, self.classes, half[keep])

    def _checked(self, x: Tensor) -> Tensor:
        """x: [B, C, H, W] → logits [B, classes]; UserError where the network answers with something else, or cannot be run."""
        network = self._network
        inner = network.network if isinstance(network, OneLogit) else network
        logits = preflight.answer(lambda: inner(self.model.normalize(x)), x, self.one_logit, self.classes, self.data_name)
        return logits if network is self.model.network else logits.index_select(1, self.model.network.order)  # type: ignore[arg-type]

    @property
    def _network(self) -> Any:
        """In its own order of classes."""
        network: Any = self.model.network
        return network.network if isinstance(network, Reordered) else network

    def _itself(self) -> list[str]:
        mean, std = ([f"{v:.4g}" for v in getattr(self.model.normalize, name).flatten().tolist()] for name in ("mean", "std"))
        own = f"mean {', '.join(mean)}, std {', '.join(std)}" if (mean, std) != (["0"], ["1"]) else "none"
        shape = list(getattr(self.trainer.datamodule, "image_shape", ()))  # type: ignore[attr-defined]
        parameters = sum(p.numel() for p in self.model.parameters())
        return [
            f"model: {self.title}  {parameters:,} parameters",
            f"images of {self.data_name}: {shape}, pixels in [0, 1]; normalisation inside the model: {own}",
            *preflight.mapping(self.class_names, self.data_names, self.classes),
        ]

    # Steps

    def forward(self, x: Tensor) -> Tensor:
        """x: [B, C, H, W] in [0, 1] → logits [B, classes] in the data's order."""
        return self.model(x)  # type: ignore[no-any-return]

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        """Loss and accuracy on the validation data."""
        self._evaluate(batch, "valid", self.valid_accuracy)

    def test_step(self, batch: Any, batch_idx: int) -> None:
        """Loss and accuracy on the test data."""
        self._evaluate(batch, "test", self.test_accuracy)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """Raises UserError."""
        raise UserError(_NOT_TRAINED)

    def configure_optimizers(self) -> None:
        """None: Lightning wants to be told."""

    def predict_step(self, batch: Any, batch_idx: int) -> Tensor:
        """Class probabilities [B, classes]."""
        return self(batch[0]).softmax(-1)  # type: ignore[no-any-return]

    def _evaluate(self, batch: Any, split: str, accuracy: Any) -> None:
        x, y = batch[:2]
        logits = self(x)
        accuracy.update(logits, y)
        self.log(f"{split}/loss", cross_entropy(logits, y), sync_dist=True, batch_size=len(x))
        self.log(f"{split}/accuracy", accuracy, prog_bar=True)


_NOT_TRAINED = "an own model is evaluated, not trained: attack, probe, validate, test or predict it"


def _names(names: Sequence[Any] | None) -> list[str] | None:
    return [str(name) for name in names] if names else None
