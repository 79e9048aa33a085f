"""What an evasion attack did to each input."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor

from robnas.attacks.goal import Goal, margin
from robnas.attacks.state import Run
from robnas.attacks.victim import answered


@dataclass(repr=False)
class EvasionResult:
    """What happened to each of N inputs, on the device that they came from.

    Attributes:
        x_adv: [N, C, H, W] the image found; for what resisted the last one tried, for what was not attacked the clean one.
        success: [N] bool, the goal was reached, as the model that was handed over says itself.
        distance: [N] from the clean image in the attack's norm; ∞ where none was found, NaN where there was no attack or it errored.
        queries: [N] int64, passes through the model that the attack asked for. gradients: [N], how many of them also gave a gradient.
        correct: [N] bool, right on the clean image. robust: [N] bool, right there and on every image that the attack ended with.
        eligible: [N] bool, attacked. errored: [N] bool, the model gave no numbers (NaN): neither broken nor robust.
        prediction: [N] class given to x_adv. label: [N]. target: [N], −1 where untargeted. index: [N].
        seconds: for all N.
    """

    x_adv: Tensor
    success: Tensor
    distance: Tensor
    queries: Tensor
    gradients: Tensor
    correct: Tensor
    robust: Tensor
    eligible: Tensor
    errored: Tensor
    prediction: Tensor
    label: Tensor
    target: Tensor
    index: Tensor
    seconds: float = 0.0

    def __repr__(self) -> str:
        broken, eligible, errored = (int(t.sum()) for t in (self.success, self.eligible, self.errored))
        lost = f", {errored} errored" if errored else ""
        queries = f"{int(self.queries.sum()):,} queries"
        return f"EvasionResult({broken} of {eligible} eligible inputs broken{lost}, {queries}, {self.seconds:.1f} s)"

    @classmethod
    def before(cls, x: Tensor, clean: Tensor, goal: Goal, index: Tensor, only_correct: bool) -> EvasionResult:
        """Nothing has been tried yet. clean: [N, m] logits of x."""
        ok = answered(clean)
        correct = ok & (margin(clean, goal.label) > 0)
        zeros = torch.zeros_like(goal.label)
        return cls(
            x_adv=x.clone(),
            success=torch.zeros_like(ok),
            distance=torch.full_like(clean[:, 0], torch.nan),
            queries=zeros.clone(),
            gradients=zeros.clone(),
            correct=correct,
            robust=correct.clone(),
            eligible=correct.clone() if only_correct else ok,
            errored=~ok,
            prediction=clean.argmax(1),
            label=goal.label,
            target=zeros - 1 if goal.target is None else goal.target,
            index=index,
        )

    def enter(self, run: Run, rows: Tensor, logits: Tensor, goal: Goal) -> None:
        """What a run on the inputs `rows` ended with. logits: [len(rows), m] of the run's images; goal: of these inputs."""
        fine = run.answered & answered(logits)
        reached = fine & goal.reached(logits)
        # The image kept is the one that reached the goal; else the last one, unless an earlier run ended on a wrong class.
        kept = reached | fine & (self.robust[rows] | ~self.correct[rows])
        self.x_adv[rows[kept]], self.prediction[rows[kept]] = run.x[kept], logits.argmax(1)[kept]
        self.success[rows] = reached
        self.errored[rows] |= ~fine
        self.robust[rows] &= fine & (margin(logits, goal.label) > 0)
        self.queries[rows] += run.queries
        self.gradients[rows] += run.gradients

    def inherit(self, smaller: EvasionResult) -> None:
        """Of the same inputs in a smaller ball: its images lie in this one too, so what was broken or wrong there is so here."""
        broken = smaller.success & self.eligible
        wrong = broken | (self.robust & ~smaller.robust & ~smaller.errored)
        self.success |= broken
        self.robust &= ~wrong
        self.x_adv[wrong], self.prediction[wrong] = smaller.x_adv[wrong], smaller.prediction[wrong]

    def standing(self) -> EvasionResult:
        """Where the next attack begins that takes only what all before it left standing. Its own counts are zero."""
        own = replace(self, **{f.name: getattr(self, f.name).clone() for f in fields(self) if f.name != "seconds"})
        own.eligible &= ~self.success & ~self.errored
        for zeroed in (own.success, own.queries, own.gradients):
            zeroed.zero_()
        own.seconds = 0.0
        return own

    def add(self, own: EvasionResult) -> None:
        """What such an attack found, to what was found before it."""
        self.success |= own.success
        self.x_adv, self.prediction, self.robust, self.errored = (t.clone() for t in (own.x_adv, own.prediction, own.robust, own.errored))
        self.queries += own.queries
        self.gradients += own.gradients

    def to(self, device: torch.device | str) -> EvasionResult:
        """The same on another device."""
        moved: dict[str, Any] = {name: value.to(device) for name, value in vars(self).items() if isinstance(value, Tensor)}
        return replace(self, **moved)

    @classmethod
    def cat(cls, parts: list[EvasionResult]) -> EvasionResult:
        """One result of several, in their order."""
        if len(parts) == 1:
            return parts[0]
        tensors = {f.name: torch.cat([getattr(p, f.name) for p in parts]) for f in fields(cls) if f.name != "seconds"}
        return cls(**tensors, seconds=sum(p.seconds for p in parts))

    def outcomes(self) -> dict[str, Tensor]:
        """What is kept of each input: all but the images."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name not in ("x_adv", "seconds")}
