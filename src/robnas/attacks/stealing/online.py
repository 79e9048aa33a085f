"""The replica while queries still go on: a copy that learns from each answer as it comes, for the reward "loss"."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from robnas import batch_norm, seeds
from robnas.copies import evaluation_copy


class Online:
    """One step of SGD on each handful of answers; the images are not augmented. Only one rank has it.

    Orekondy et al. do not say how theirs is trained; the Adversarial Robustness Toolbox takes one step on each single answer, and then
    looks how well it is met. Here answers come a few at a time, and the logits are those before the step, in training mode: what an
    answer was worth is what the replica did not know. Of a single answer no batch statistics can be had; it is met in evaluation mode.

    Args:
        model: the replica as its own training will begin; it is copied.
        learning_rate: of SGD, momentum 0.9.
        seed: of dropout.
    """

    def __init__(self, model: nn.Module, learning_rate: float, seed: int) -> None:
        self.model = batch_norm.alone(evaluation_copy(model)).requires_grad_(True)
        self._first = next(self.model.parameters())
        self._sgd = torch.optim.SGD(self.model.parameters(), learning_rate, momentum=0.9)
        self._seed, self._steps = seed, 0

    @torch.enable_grad()
    def learn(self, x: Tensor, p: Tensor) -> Tensor:
        """x: [n, C, H, W] in [0, 1]; p: [n, m] what was answered, NaN where nothing was → [n, m] logits before, float64 on the CPU."""
        self.model.train(len(x) > 1)
        cpu = self._first.device.type == "cpu"
        with torch.random.fork_rng([] if cpu else [self._first.device]):
            # `torch.manual_seed` would note stack traces, which takes longer than a query
            (torch.default_generator.manual_seed if cpu else torch.manual_seed)(seeds.derive(self._seed, "online", self._steps))
            logits: Tensor = self.model(x.to(self._first))
        self._steps += 1
        known = ~p.isnan().any(1)
        if bool(known.any()):
            rows = known.to(logits.device)
            self._sgd.zero_grad()
            cross_entropy(logits[rows], p[known].to(logits)).backward()  # type: ignore[no-untyped-call]
            self._sgd.step()
        return logits.detach().double().cpu()
