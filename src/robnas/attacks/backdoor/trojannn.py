"""TrojanNN (Liu et al., 2018): a trigger that excites a few neurons, planted into a trained model (§3.2, Eq. 7, Figs 7 and 8)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from robnas import seeds
from robnas.attacks.backdoor import picture
from robnas.attacks.backdoor.base import Backdoor
from robnas.attacks.backdoor.neurons import POOLED, Activations, Layer, largest_weight, locate, lowest_mean, strength
from robnas.attacks.backdoor.trigger import Trigger
from robnas.attacks.callback import Number
from robnas.data.base import ImageData, as_float
from robnas.errors import require, unknown

RULES = ("lowest_mean", "largest_weight")


class TrojanNN(Backdoor):
    """Chooses neurons of the clean model, optimises the trigger's pixels until they are excited, and retrains on stamped inputs.

    1. `n_neurons` of `layer` are chosen, by rule.
    2. The pattern, drawn at random, takes `steps` signed gradient steps on the mean of (activation − `activation`)² over these neurons and
       over `observed` stamped training inputs (Table 6: PGD, 0.015, 20 iterations). Liu et al. optimise it on a blank image; so far from
       images a transparent trigger would be lost, and Eq. 7 takes the mean over images, so we do.
    3. Training goes on from the clean model, with a share of stamped inputs. Liu et al. have no training data and reverse-engineer some;
       here, as in the paper, the data are there.

    Twenty steps of 0.015 move a pixel by 0.3 at most: the trigger is improved, not optimal.

    Args:
        layer: a module by name (robnas names them in the error for a wrong one), "last_convolution", or "pooled": the features before the
            last linear layer, which Table 6 calls the penultimate.
        n_neurons: how many (Fig. 8: 1 to 8).
        neurons: "lowest_mean" (the authors' code: lowest mean activation on clean inputs), "largest_weight" (most strongly connected, see
            `neurons.strength`; weights count without their sign, so a chosen feature may speak against the target class, and retraining
            then turns it the other way), or a list of their numbers.
        activation: what the neurons shall be excited to.
        steps, step_size: of the optimisation, in pixels of [0, 1].
        observed: training inputs that means and gradients are taken over.
        size: side of the trigger, pixels.
        place: row and column of its upper left pixel; [-1, -1] is the lower right corner.
        transparency: of the trigger (Table 6: 0.7).
        stamp: after augmentation, as this attacker trains himself.
        copies: stamped inputs are added, so that λ of Eq. 7 is `share`.
        protocol: arguments of `Backdoor`.
    """

    starts = True
    scales: ClassVar[dict[str, dict[str, Any]]] = {
        "tiny": {"observed": 128, "trainer": {"max_epochs": 15}, "model": {"learning_rate": 0.05}}  # few steps an epoch: larger ones
    }

    def __init__(
        self,
        layer: str = POOLED,
        n_neurons: int = 2,
        neurons: str | list[int] = "largest_weight",
        activation: float = 10.0,
        steps: int = 20,
        step_size: float = 0.015,
        observed: int = 512,
        size: int = 3,
        place: tuple[int, int] = (-1, -1),
        transparency: float = 0.7,
        stamp: str = "after",
        copies: bool = True,
        **protocol: Any,
    ) -> None:
        super().__init__(stamp=stamp, copies=copies, **protocol)
        for name, value in {"n_neurons": n_neurons, "size": size, "observed": observed}.items():
            require(value >= 1, f"{name}: {value} is not at least 1")
        require(steps >= 0, f"steps: {steps} is negative")
        require(step_size > 0, f"step_size: {step_size} is not positive")
        require(0 <= transparency < 1, f"transparency: {transparency} is not in [0, 1)")
        if isinstance(neurons, str) and neurons not in RULES:
            raise unknown("neurons (or a list of numbers)", neurons, RULES)
        if not isinstance(neurons, str):
            require(0 < len(neurons) == len(set(neurons)), f"neurons: {neurons} does not name at least one, and each once")
        row, column = place
        self.layer, self.n_neurons, self.neurons, self.activation = layer, n_neurons, neurons, activation
        self.steps, self.step_size, self.observed = steps, step_size, observed
        self.size, self.place, self.transparency = size, (row, column), transparency

    def trigger(self, model: nn.Module, data: ImageData) -> Trigger:
        """Raises UserError for a layer or a neuron that there is not."""
        like = next(model.parameters())
        images, pool = data.trained_on()
        seed = seeds.of_run(self.seed)
        some = pool[seeds.bits(pool, 1, seed, "observed")[:, 0].argsort(stable=True)][: self.observed]
        batch = images.__getitems__(some)
        x = as_float(batch._replace(x=batch.x.to(like.device)), like.dtype).x
        asked = Activations(model, locate(model, self.layer, x[:2]))
        chosen = self._choose(model, asked, x)
        c, side = data.image_shape[0], (self.size, self.size)
        drawn = seeds.uniform(torch.arange(c), side, seed, "pattern")
        drawn = drawn.to(x.device, torch.promote_types(x.dtype, torch.float32))  # the steps are small for half precision
        first = Trigger(torch.ones(1, *side).to(drawn), drawn, self.place, self.transparency)
        first.corner(*data.image_shape[1:])
        made = excite(asked, chosen, first, x, self.activation, self.steps, self.step_size)
        means = torch.stack([asked.of(z)[:, chosen].mean(0) for z in (x, first.stamp(x), made.stamp(x))])
        # Rows: on clean inputs, with the pattern as it was drawn, with the one that was made of it.
        self.notes |= {"neurons": chosen.cpu(), "activations": means.double().cpu()}
        return made

    def _choose(self, model: nn.Module, asked: Activations, x: Tensor) -> Tensor:
        there = asked(x[:2]).shape[1]
        if isinstance(self.neurons, list):
            for number in self.neurons:
                require(0 <= number < there, f"neurons: there is no neuron {number}; {self.layer} has 0 … {there - 1}")
            return torch.tensor(self.neurons, device=x.device)
        require(self.n_neurons <= there, f"n_neurons: {self.n_neurons}, but {self.layer} has {there}")
        if self.neurons == "lowest_mean":
            return lowest_mean(asked.of(x), self.n_neurons)
        return largest_weight(strength(model, asked.layer, self.target), self.n_neurons)

    def more(self, models: Mapping[str, nn.Module], data: ImageData) -> dict[str, Number]:
        """Mean activation of the target neurons of the clean model while the trigger was made: clean, as drawn, as made."""
        clean, drawn, made = self.notes["activations"].mean(1).tolist()
        flags = () if made > clean else ("the trigger does not excite its neurons",)
        n = self.notes["neurons"].numel()
        return {"activation_clean": Number(clean, n), "activation_drawn": Number(drawn, n), "activation": Number(made, n, flags=flags)}

    def draw(self, models: Mapping[str, nn.Module], data: ImageData, folder: Path) -> None:
        """Activations of the target neurons on up to 200 test inputs."""
        images, neurons = data.sets()[1], self.notes["neurons"]
        batch = images.__getitems__(torch.arange(min(200, len(images.y))))
        values: dict[str, Tensor] = {}
        for name, model in reversed(list(models.items())):
            like = next(model.parameters())
            for way, pixels in (("clean inputs", batch.x), ("stamped", self.made.stamp(batch.x))):
                x = as_float(batch._replace(x=pixels.to(like.device)), like.dtype).x
                asked = Activations(model, self._layer(model, x))
                values[f"{'trojan' if name == 'trojan' else 'clean'} model, {way}"] = asked.of(x)[:, neurons].cpu()
        picture.activations(values, neurons.tolist(), folder / f"{self.name}-activations.png")

    def _layer(self, model: nn.Module, x: Tensor) -> Layer:
        return locate(model, self.layer, x[:2])


def excite(asked: Activations, neurons: Tensor, start: Trigger, x: Tensor, wanted: float, steps: int, step_size: float) -> Trigger:
    """Signed gradient descent on the pattern's pixels, which stay in [0, 1]. x: [n, C, H, W], stamped before each pass; neurons: [k]."""
    made = start
    for _ in range(steps):
        with torch.enable_grad():
            pattern = made.pattern.detach().requires_grad_(True)
            leaf = Trigger(made.mask, pattern, made.place, made.transparency)
            loss = (asked(leaf.stamp(x))[:, neurons] - wanted).square().mean()
            (gradient,) = torch.autograd.grad(loss, pattern)
        made = Trigger(made.mask, (made.pattern - step_size * gradient.sign()).clamp(0, 1), made.place, made.transparency)
    return made
