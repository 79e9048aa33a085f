"""What images that were made on one model do to another."""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor

from robnas.attacks.goal import Goal, margin
from robnas.attacks.result import EvasionResult
from robnas.attacks.victim import Victim, answered


@dataclass(repr=False)
class Transferred:
    """Of each of N inputs; all tensors [N].

    Attributes:
        success: the target does what was wanted of the source: it is wrong, or, where the attack has a target class, answers that very
            class (also where it had the clean image wrong: `eligible` says of which success is counted).
        eligible: attacked, and right on the clean image in both source and target.
        attacked: by the source, whatever the target makes of the clean image.
        errored: source or target gave no numbers (NaN).
        source_success: the source itself was broken.
        correct, source_correct: right on the clean image, the target and the source.
        prediction: the target's class for the adversarial image. label. target: the class wanted, chosen by the source; −1 untargeted.
        queries: that the attack asked of the source; the target is asked twice, by the referee. index.
        seconds: of attack and judgement, for all N.
    """

    success: Tensor
    eligible: Tensor
    attacked: Tensor
    errored: Tensor
    source_success: Tensor
    correct: Tensor
    source_correct: Tensor
    prediction: Tensor
    label: Tensor
    target: Tensor
    queries: Tensor
    index: Tensor
    seconds: float = 0.0

    def __repr__(self) -> str:
        n = self.eligible & ~self.errored
        return f"Transferred({int((self.success & n).sum())} of {int(n.sum())} inputs that both get right)"

    @classmethod
    def itself(cls, r: EvasionResult) -> Transferred:
        """The source as its own target: the white-box result, as it is."""
        right, at = r.eligible & r.correct, (r.correct, r.correct, r.prediction)
        return cls(r.success, right, r.eligible, r.errored, r.success, *at, r.label, r.target, r.queries, r.index, r.seconds)

    @classmethod
    def judged(cls, r: EvasionResult, target: Victim, x: Tensor, confidence: float = 0.0, batch_size: int = 256) -> Transferred:
        """r: of the source. x: [N, C, H, W] the clean inputs. confidence: of the goal, see `Goal`."""
        clean, adversarial = (
            torch.cat([target.judge(target.take(some)).to(r.label.device) for some in torch.split(images, batch_size)])
            for images in (x, r.x_adv)
        )
        goal = Goal(r.label, None if (r.target < 0).all() else r.target, confidence)
        fine = answered(clean) & answered(adversarial)
        correct = answered(clean) & (margin(clean, r.label) > 0)
        return cls(
            success=fine & goal.reached(adversarial),
            eligible=r.eligible & r.correct & correct,
            attacked=r.eligible,
            errored=r.errored | ~fine,
            source_success=r.success,
            correct=correct,
            source_correct=r.correct,
            prediction=adversarial.argmax(1),
            label=r.label,
            target=r.target,
            queries=r.queries,
            index=r.index,
            seconds=r.seconds,
        )

    def outcomes(self) -> dict[str, Tensor]:
        """What is kept of each input."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name != "seconds"}
