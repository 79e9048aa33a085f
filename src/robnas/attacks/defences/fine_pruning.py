"""Fine-pruning (Liu, Dolan-Gavitt and Garg, 2018): neurons that clean inputs leave asleep are cut out, then training goes on, clean."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor, nn

from robnas import collectives
from robnas.attacks.backdoor import measure, reference
from robnas.attacks.backdoor.neurons import POOLED, Activations, Layer, locate
from robnas.attacks.backdoor.trigger import FILE, Trigger, read
from robnas.attacks.callback import Number, Outcomes
from robnas.attacks.stealing.pool import run_of
from robnas.attacks.training import Defence, FinalTest
from robnas.copies import evaluation_copy
from robnas.data.base import ImageData, as_float
from robnas.errors import UserError, require


class FinePruning(Defence):
    """Cuts out the share of a layer's neurons with the lowest mean activation on the validation part, and fine-tunes on clean data:
    `robnas fit --config fine_pruning.yaml --init_from RUN`, the run of a model that may have a backdoor.

    Pruned neurons' weights are zero in every step and in every checkpoint, so whoever loads one has the pruned network. Where RUN has a
    `trigger.npz`, that trigger's success is measured on the model as it was, pruned, and at the end; the defence itself never looks at it.

    Departures: Liu et al. prune one neuron after the other until clean accuracy falls, here the share is given; and they prune the last
    convolution, whereas here it is the features before the last linear layer unless told otherwise, as a cell's last convolutions are
    several. Of a convolution followed by batch norm, a pruned map is constant rather than zero.

    Args:
        share: of the layer's neurons that are pruned, rounded; 0: fine-tuning alone.
        layer: "pooled", "last_convolution", or a module by name: a linear layer or a convolution.
        observed: validation inputs that activations are averaged over, at most.
        with_target: success is measured on inputs of the target class, too.
    """

    scales: ClassVar[dict[str, dict[str, Any]]] = {"tiny": {"trainer": {"max_epochs": 10}}}

    def __init__(self, share: float = 0.3, layer: str = POOLED, observed: int = 5000, with_target: bool = False) -> None:
        super().__init__()
        require(0 <= share < 1, f"share: {share} is not in [0, 1)")
        require(observed >= 1, f"observed: {observed} is not at least 1")
        self.share, self.layer, self.observed, self.with_target = share, layer, observed, with_target
        self.pruned: Tensor | None = None
        """[k] the neurons that were cut out, sorted."""
        self._kept: dict[str, Any] | None = None

    def begin(self, trainer: Trainer, model: LightningModule, data: ImageData) -> None:
        """Raises UserError without a model to start from, or without validation data."""
        source = reference.source(model)
        if source is None:
            raise UserError(f"{self.name}: it mends a trained model, which init_from names: robnas fit … --init_from RUN")
        network: nn.Module = getattr(model, "model", None) or model
        kept, self._kept = self._kept, None
        require(
            kept is not None or not trainer.ckpt_path,
            f"{self.name}: ckpt_path: the checkpoint is of a training without {self.name}; --init_from takes its weights",
        )
        if kept is None:
            start = reference.of(trainer, source, model)
            self._layer, self.pruned, self._neurons = collectives.from_first(lambda: self._find(start, data))
        else:
            self._layer, self.pruned, self._neurons = Layer(*kept["layer"]), kept["pruned"], kept["neurons"]
        prune(network, self._layer, self.pruned)

    def _find(self, start: nn.Module, data: ImageData) -> tuple[Layer, Tensor, int]:
        held = data.parts()[1][: self.observed]
        require(len(held) > 0, f"{self.name}: data.validation: {data.validation:g}; it prunes what clean validation inputs leave asleep")
        like = next(start.parameters())
        total, layer = torch.zeros(()), None
        for some in torch.split(held, 256):  # summed up: nothing is kept of an input
            batch = data.sets()[0].__getitems__(some)
            x = as_float(batch._replace(x=batch.x.to(like.device)), like.dtype).x
            layer = layer or locate(start, self.layer, x)
            _prunable(start, layer)
            total = total + Activations(start, layer).of(x).double().sum(0).cpu()
        assert layer is not None
        return layer, asleep(total, self.share), len(total)

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int) -> None:
        """After each step, before anything is saved."""
        assert self.pruned is not None
        prune(getattr(pl_module, "model", None) or pl_module, self._layer, self.pruned)

    def measure(self, trainer: Trainer, model: LightningModule, tested: FinalTest) -> tuple[Mapping[str, Number], Outcomes | None]:
        """CAD against the model as it was, pruned share, and, where the trigger is known, its success before, pruned, and at the end."""
        assert self.pruned is not None
        data: ImageData = trainer.datamodule  # type: ignore[attr-defined]
        source = str(reference.source(model))
        models = {"before": reference.of(trainer, source, model), "pruned": reference.of(trainer, source, model)}
        prune(models["pruned"], self._layer, self.pruned)
        models["after"] = evaluation_copy(getattr(model, "model", None) or model).to(model.device)
        folder = run_of(source)
        known = read(folder) if folder is not None and (folder / FILE).is_file() else None
        nothing = Trigger(torch.zeros(1, 1, 1), torch.zeros(data.image_shape[0], 1, 1))
        found = measure.over(data.sets()[1], models, Trigger.of_arrays(known) if known else nothing)
        drop = tested.drop_from(FinalTest(found["index"], found["before_clean"], found["label"]))
        numbers = {"cad": drop, "pruned": Number(len(self.pruned) / self._neurons, self._neurons)}
        if known is None:
            return numbers, None
        target = int(known["target"])
        among = measure.eligible(found, target, self.with_target)
        shares = {"asr": "after", "asr_before": "before", "asr_pruned": "pruned"}
        return {name: measure.success_rate(found, which, target, among) for name, which in shares.items()} | numbers, found | {
            "eligible": among
        }

    # Over a kill

    def state_dict(self) -> dict[str, Any]:
        """What was cut out."""
        if self.pruned is None:
            return {}
        return {"layer": (self._layer.name, self._layer.inputs), "pruned": self.pruned, "neurons": self._neurons}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """To be used when the network is there."""
        self._kept = state_dict or None


def asleep(activity: Tensor, share: float) -> Tensor:
    """activity: [D] mean or total → [round(share · D)] the neurons with the lowest, sorted; of equal ones the first."""
    return activity.argsort(stable=True)[: round(share * len(activity))].sort().values


def prune(model: nn.Module, layer: Layer, neurons: Tensor) -> None:
    """In place: the weights that carry these neurons are zero. neurons: [k]."""
    module = _prunable(model, layer)
    with torch.no_grad():
        if layer.inputs:
            module.weight[:, neurons] = 0
            return
        module.weight[neurons] = 0
        if module.bias is not None:
            module.bias[neurons] = 0


def _prunable(model: nn.Module, layer: Layer) -> nn.Linear | nn.Conv2d:
    module = model.get_submodule(layer.name)
    if not isinstance(module, nn.Linear | nn.Conv2d):
        raise UserError(f"layer: {layer.name} is a {type(module).__name__}; a linear layer or a convolution can be pruned")
    return module
