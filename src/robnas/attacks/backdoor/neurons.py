"""A layer of a network, by name or by rule, the activations of its neurons, and which of them are worth attacking."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches

import torch
from torch import Tensor, nn

from robnas.errors import UserError, require

POOLED, LAST_CONVOLUTION = "pooled", "last_convolution"


@dataclass(frozen=True)
class Layer:
    """Where neurons are looked at. name: of the module; inputs: what goes into it, or else what comes out of it."""

    name: str
    inputs: bool


def locate(model: nn.Module, layer: str, x: Tensor) -> Layer:
    """A module by its name, with or without "network." before it; or by rule: "pooled", the features before the last linear layer, and
    "last_convolution", what comes out of the last convolution before these. x: [B, C, H, W]; a pass tells the order.

    Raises UserError where there is no such layer.
    """
    modules = {name: module for name, module in model.named_modules() if name}
    if layer in (POOLED, LAST_CONVOLUTION):
        order, classes = _order(model, x)
        heads = [name for name in order if _is_head(modules[name], classes)]
        require(bool(heads), f"layer: {layer}: the network ends in no linear layer of {classes} classes; name a module instead")
        if layer == POOLED:
            return Layer(heads[-1], inputs=True)
        convolutions = [name for name in order if isinstance(modules[name], nn.Conv2d) and name != heads[-1]]
        require(bool(convolutions), f"layer: {layer}: the network has no convolution")
        return Layer(convolutions[-1], inputs=False)
    for name in (layer, f"network.{layer}"):
        if name in modules:
            return Layer(name, inputs=False)
    near = get_close_matches(layer, [n for full in modules for n in (full, full.removeprefix("network."))], n=1, cutoff=0.0)
    raise UserError(f"unknown layer {layer!r}. Did you mean {near[0]!r}? Known: {POOLED}, {LAST_CONVOLUTION}, and {len(modules)} modules.")


def _order(model: nn.Module, x: Tensor) -> tuple[list[str], int]:
    """Modules in the order in which they run, and the number of classes."""
    order: list[str] = []
    handles = [m.register_forward_hook(lambda *_, name=name: order.append(name)) for name, m in model.named_modules()]
    try:
        with torch.no_grad():
            logits = model(x)
    finally:
        for handle in handles:
            handle.remove()
    return [name for name in order if name], logits.shape[1]


def _is_head(module: nn.Module, classes: int) -> bool:
    if isinstance(module, nn.Linear):
        return module.out_features == classes
    return isinstance(module, nn.Conv2d) and module.out_channels == classes and set(module.kernel_size) == {1}


class Activations:
    """Calls a model for the activations of a layer: x: [B, C, H, W] → [B, D], differentiable; maps are averaged over their pixels."""

    def __init__(self, model: nn.Module, layer: Layer) -> None:
        self.model, self.layer = model, layer

    def __call__(self, x: Tensor) -> Tensor:
        """One pass."""
        with _watched(self.model.get_submodule(self.layer.name), self.layer.inputs) as seen:
            self.model(x)
        require(bool(seen) and seen[-1].ndim >= 2, f"layer: {self.layer.name} gives no activations [B, D, …]")
        return seen[-1].flatten(2).mean(2) if seen[-1].ndim > 2 else seen[-1]

    @torch.no_grad()
    def of(self, x: Tensor, size: int = 256) -> Tensor:
        """[N, C, H, W] → [N, D], a few at a time."""
        return torch.cat([self(some) for some in torch.split(x, size)])


@contextmanager
def _watched(module: nn.Module, inputs: bool) -> Iterator[list[Tensor]]:
    seen: list[Tensor] = []
    if inputs:
        handle = module.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    else:
        handle = module.register_forward_hook(lambda _, args, out: seen.append(out))
    try:
        yield seen
    finally:
        handle.remove()


def lowest_mean(activations: Tensor, n: int) -> Tensor:
    """activations: [N, D] → [n] the neurons with the lowest mean, the lowest first; of equal ones the first."""
    return activations.mean(0).argsort(stable=True)[:n]


def largest_weight(strength: Tensor, n: int) -> Tensor:
    """strength: [D] → [n] the neurons with the largest, the largest first; of equal ones the first."""
    return strength.argsort(descending=True, stable=True)[:n]


def strength(model: nn.Module, layer: Layer, target: int) -> Tensor:
    """[D] sums of absolute weights. Of a named layer: all that come into a neuron, as in Liu et al. (2018). Of features that are pooled,
    and so have no weights of their own: those that go from a neuron to the target class. Raises UserError where there are no weights.
    """
    module = model.get_submodule(layer.name)
    weight = getattr(module, "weight", None)
    if not isinstance(module, nn.Linear | nn.Conv2d) or not isinstance(weight, Tensor):
        what = f"{layer.name} ({type(module).__name__})"
        raise UserError(f"neurons: largest_weight: {what} has no weights of its own: lowest_mean, or numbers")
    if layer.inputs:
        return weight.detach()[target].abs().flatten(1).sum(1) if weight.ndim > 2 else weight.detach()[target].abs()
    return weight.detach().abs().flatten(1).sum(1)
