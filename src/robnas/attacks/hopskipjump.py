"""HopSkipJump (Chen, Jordan & Wainwright, 2020): the nearest image that a model takes for something else, found by labels alone."""

from __future__ import annotations

import math
import sys
import warnings
from collections.abc import Sized
from math import ceil, floor, inf, sqrt
from typing import Any, ClassVar

import numpy as np
import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor, nn

from robnas.attacks import boundary, norms, starts
from robnas.attacks.base import Evasion, Inputs
from robnas.attacks.boundary import Decisions
from robnas.attacks.callback import Number, Outcomes
from robnas.attacks.progress import bar
from robnas.attacks.result import EvasionResult
from robnas.attacks.state import State
from robnas.attacks.victim import BlackBox, Victim
from robnas.data.base import ImageData
from robnas.errors import require

BLEND = 1e-3
"""To within how much of the way the start is first blended towards the input, in both norms: the authors' code, not the paper."""


class HopSkipJump(Evasion):
    """Label-only evasion without a ball: `distance` is the result. An input for which no start is found, or that gives NaN, is `errored`.

    Algorithm 2, all inputs at once. Kept from the authors' code: δ₁ = 0.1, θ = γ d^−1.5 in L2 and γ d^−2 in L∞ with γ = 1, how the start is
    blended. Our own: the nearest of the boundary's points that were met is the result, not the last one; loops have an end; directions are
    uniform on the sphere in L∞ too, as printed. With `only_correct=False` what the model gets wrong has distance 0, and `correct` is False.

    Args:
        steps: iterations (the paper on AutoML: 50).
        initial_evaluations, max_evaluations: B_t = min(B₀√t, maximum) directions are asked in iteration t (100; 2,500, which 50 steps
            never reach).
        norm: "l2" or "linf", what is made small.
        goal: "untargeted", "most_likely" (the second class, c₂) or "least_likely" (the last class, c_m). Noise is hardly ever taken for a
            given class: with a target, `starts` are needed. On the test set of a robnas data set they are there: the first of its images
            that the model takes for that class.
        gamma: γ, from which θ and δ follow. n_starts: images of noise that are tried as a start, at most.
        kwargs: max_inputs, only_correct and eot, see `Evasion`.
    """

    access = "label"
    errs = "the model gave no numbers (NaN), or no image to start from was found,"
    scales: ClassVar[dict[str, dict[str, Any]]] = {
        "tiny": {"steps": 5, "initial_evaluations": 25, "max_evaluations": 100, "max_inputs": 100}
    }

    def __init__(
        self,
        steps: int = 50,
        initial_evaluations: int = 100,
        max_evaluations: int = 2500,
        norm: str = "l2",
        goal: str = "untargeted",
        gamma: float = 1.0,
        n_starts: int = 100,
        **kwargs: Any,
    ) -> None:
        self.norm, self.gamma, self.n_starts = norm, gamma, n_starts
        self.initial_evaluations, self.max_evaluations = initial_evaluations, max_evaluations
        self._given: dict[int, Tensor] = {}
        self._of_class: dict[int, Tensor] = {}
        super().__init__(eps=inf, steps=steps, goal=goal, **kwargs)

    def check(self) -> None:
        """Raise UserError for an argument out of range."""
        super().check()
        for name in ("initial_evaluations", "max_evaluations", "n_starts"):
            value = getattr(self, name)
            require(isinstance(value, int) and value >= 1, f"{name}: {value} is not a whole number ≥ 1")
        first, most = self.initial_evaluations, self.max_evaluations
        require(first <= most, f"initial_evaluations: {first} is more than max_evaluations, {most}")
        require(isinstance(self.gamma, int | float) and 0 < self.gamma < inf, f"gamma: {self.gamma} is not a number above 0")

    def __call__(
        self,
        model: nn.Module | Victim,
        x: Tensor,
        y: Tensor | None = None,
        index: Tensor | None = None,
        seed: int = 0,
        batch_size: int = 256,
        starts: Tensor | None = None,
    ) -> EvasionResult:
        """See `Evasion`. starts: [N, C, H, W] an image for each input that reaches its goal; where it does not, noise is tried."""
        index = torch.arange(len(x)) if index is None else index
        if starts is not None:
            require(starts.shape == x.shape, f"starts: shape {list(starts.shape)}; that of x, {list(x.shape)}, is needed")
            self._given = dict(zip(index.tolist(), starts, strict=True))
        try:
            return super().__call__(model, x, y, index, seed, batch_size)
        finally:
            self._given = {}

    def run(self, victim: BlackBox, s: State) -> None:
        """Algorithm 2, and a last projection to the boundary."""
        with bar("HopSkipJump", len(s) * self.expected(s.x[0].numel())) as told:
            self._run(Decisions(victim, s, told), s)

    def _run(self, phi: Decisions, s: State) -> None:
        s.leave(phi(s.x))  # distance 0
        given = self._given or self._by_target(s)
        self._leave(s, starts.find(phi, s, given, self.n_starts))
        s.x_t = boundary.search(phi, s, BLEND, "l2")
        s.best, s.near = s.x_t, self.distance(s.x_t, s.x)
        theta = self.theta(s.x[0].numel()) if len(s) else 1.0
        for s.t in range(self.steps):
            self._project(phi, s, theta)
            if not len(s):
                return
            far = self.distance(s.x_t, s.x)
            delta = torch.full_like(far, 0.1) if s.t == 0 else self.delta(s.x[0].numel()) * far
            v = boundary.normal(phi, s, delta, self.evaluations(s.t))
            s.x_t = boundary.jump(phi, s, norms.steepest(v, self.norm), far / sqrt(s.t + 1))
        self._project(phi, s, theta)
        s.x_t = settle(phi, s)

    def _by_target(self, s: State) -> dict[int, Tensor]:
        targets = [] if s.goal.target is None else s.goal.target.tolist()
        return {i: self._of_class[c] for i, c in zip(s.index.tolist(), targets, strict=bool(targets)) if c in self._of_class}

    def _project(self, phi: Decisions, s: State, theta: float) -> None:
        """x_t to the boundary; the nearest point of it that was ever met is kept."""
        s.x_t = boundary.search(phi, s, theta, self.norm)
        far = self.distance(s.x_t, s.x)
        s.best = torch.where(boundary.column(far < s.near, s.x), s.x_t, s.best)
        s.near = torch.minimum(far, s.near)
        self._leave(s, s.answered)

    def _leave(self, s: State, stay: Tensor) -> None:
        """The others leave with the input itself, which reaches no goal."""
        s.x_t = torch.where(boundary.column(stay, s.x), s.x_t, s.x)
        s.leave(~stay)

    def evaluations(self, t: int) -> int:
        """B_t of iteration t, counted from 0."""
        return min(int(self.initial_evaluations * sqrt(t + 1)), self.max_evaluations)

    def theta(self, d: int) -> float:
        """θ for images of d values: where Bin-Search stops, as a share of the way."""
        return min(0.5, self.gamma / (d * sqrt(d) if self.norm == "l2" else d * d))

    def delta(self, d: int) -> float:
        """δ_t as a share of the distance of x_t: √d θ in L2 and dθ in L∞. (§IV; the paper has the distance of x_{t−1}.)"""
        return (sqrt(d) if self.norm == "l2" else d) * self.theta(d)

    def expected(self, d: int) -> int:
        """Queries of an input of d values if its first start is one and no step is halved more than twice."""
        each = boundary.bisections(self.theta(d))
        return 4 + boundary.bisections(BLEND) + each + sum(self.evaluations(t) + each + 2 for t in range(self.steps))

    def budget(self, d: int) -> int:
        """Queries of an input of d values at most."""
        more = self.n_starts + (boundary.HALVINGS - 2) * self.steps
        return (self.expected(d) + more) * self.n_restarts * self.eot

    def numbers(self, outcomes: Outcomes) -> dict[str, Number]:
        """The median distance of what was attacked and right on the clean image, with the order statistics' interval."""
        near = np.sort(outcomes["distance"][outcomes["success"] & outcomes["correct"]])
        if not (n := len(near)):
            return {"median_distance": Number(None, 0)}
        spread = 1.96 * sqrt(n) / 2
        low, high = near[max(0, floor(n / 2 - spread) - 1)], near[min(n - 1, ceil(n / 2 + spread))]
        return {"median_distance": Number(float(np.median(near)), n, (float(low), float(high)), "order statistics")}

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Prepare the victim; with a target, find an image of each class."""
        super().on_test_start(trainer, pl_module)
        data = getattr(trainer, "datamodule", None)
        if self.goal != "untargeted" and isinstance(data, ImageData):
            with torch.inference_mode(False):
                self._of_class = starts.of_classes(data, self._victim)
            self._victim.noticed.arrays()  # of other images than the attack's

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Let the images and the copies go."""
        super().teardown(trainer, pl_module, stage)
        self._of_class = {}

    def on_test_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Say what it will cost, before anything is asked."""
        if batch_idx == 0 and trainer.is_global_zero:
            d = math.prod(batch[0].shape[1:])
            data = getattr(trainer.test_dataloaders, "dataset", None)
            n = len(data) if isinstance(data, Sized) else self.max_inputs
            n = None if n is None else min(n, self.max_inputs or n)
            inputs = "" if n is None else f"; of {n:,} inputs, about {n * self.expected(d):,}"
            line = f"{self.name}: about {self.expected(d):,} queries an input, at most {self.budget(d):,}{inputs}"
            print(line, file=sys.stderr, flush=True)

    def pursue(self, victim: Victim, inputs: Inputs, r: EvasionResult, seed: int) -> None:
        """An input without an image found is not robust, as there always is one unless the model knows one class only: it errored."""
        super().pursue(victim, inputs, r, seed)
        lost = r.eligible & ~r.success & ~r.errored
        r.errored |= lost
        r.robust &= ~lost
        r.distance[lost] = torch.nan
        if lost.any():
            names = ", ".join(map(str, r.index[lost].tolist()))
            warnings.warn(
                f"HopSkipJump: no image that reaches the goal, in {self.n_starts} of noise, for inputs {names}: errored", stacklevel=2
            )


def settle(phi: Decisions, s: State) -> Tensor:
    """The nearest image, farther from x by √ε of its distance (ε: resolution of the numbers) if it reaches the goal there too.

    On the boundary itself two ways to compute the same model may disagree, and the model as it was handed over has the last word.
    """
    images = (s.x + (s.best - s.x) * (1 + sqrt(torch.finfo(s.x.dtype).eps))).clamp_(0, 1)
    return torch.where(boundary.column(phi(images), s.x), images, s.best)


def boundary_distance(
    model: nn.Module | Victim, x: Tensor, label: Tensor, index: Tensor | None = None, seed: int = 0, **settings: Any
) -> EvasionResult:
    """How far each input is from the decision boundary: `.distance` [B], 0 where the model does not say `label`, NaN where `.errored`.

    Also `.queries` [B] and `.correct` [B]. settings: of `HopSkipJump`. Pure: an input's result depends on (index, seed) and itself alone.
    """
    return HopSkipJump(only_correct=False, **settings)(model, x, label, index, seed)
