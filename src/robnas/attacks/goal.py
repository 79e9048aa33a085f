"""What an attacker wants: away from the label (untargeted), or to the second or the last class (§3.2)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from robnas.errors import require, unknown

GOALS = ("untargeted", "most_likely", "least_likely")


def margin(logits: Tensor, label: Tensor) -> Tensor:
    """How far a class leads over all others. logits: [B, m], label: [B] → [B]; a scale of the logits is the unit."""
    own = label[:, None]
    return (logits.gather(1, own) - logits.scatter(1, own, -torch.inf).amax(1, keepdim=True)).squeeze(1)


@dataclass(frozen=True)
class Goal:
    """The wanted outcome of each input. A tie between classes counts for the attacker.

    Args:
        label: [B] the true class.
        target: [B] the wanted class; None where any class but the label will do.
        confidence: probability that the wanted class must exceed as well, in [0, 1). 0: the class alone counts.
    """

    label: Tensor
    target: Tensor | None = None
    confidence: float = 0.0

    @classmethod
    def of(cls, name: str, logits: Tensor, label: Tensor) -> Goal:
        """§3.2: the model ranks the classes c₁, …, c_m, c₁ being its current classification; logits: [B, m] on the clean inputs."""
        c1 = logits.argmax(1, keepdim=True)
        logits = logits.clamp(min=torch.finfo(logits.dtype).min)  # a class that is ruled out (−∞) is still not c₁
        if name == "untargeted":
            return cls(label)
        if name == "most_likely":
            return cls(label, logits.scatter(1, c1, -torch.inf).argmax(1))
        if name == "least_likely":
            return cls(label, logits.scatter(1, c1, torch.inf).argmin(1))
        raise unknown("goal", name, GOALS)

    def losses(self, logits: Tensor) -> Tensor:
        """ℓ of Eq. 15, to be raised. [B, m] → [B]: the log-odds against the label; for a target (Eq. 5) those for it.

        The label's cross-entropy is softplus of this. So each input's losses have the same order and its gradient the same direction;
        but the factor 1 − p_label is left out, which rounds to zero where a model is sure (in float32 from a margin of 17 on).
        """
        own = (self.label if self.target is None else self.target)[:, None]
        against = logits.scatter(1, own, -torch.inf).logsumexp(1) - logits.gather(1, own).squeeze(1)
        return against if self.target is None else -against

    def reached(self, logits: Tensor) -> Tensor:
        """[B, m] logits, probabilities or any other scores → [B] bool. With a confidence: logits, or logarithms of probabilities."""
        done = margin(logits, self.label) <= 0 if self.target is None else margin(logits, self.target) >= 0
        if self.confidence:
            p = logits.softmax(1)
            p = p.scatter(1, self.label[:, None], 0).amax(1) if self.target is None else p.gather(1, self.target[:, None]).squeeze(1)
            done = done & (p > self.confidence)
        return done

    def reached_by(self, label: Tensor) -> Tensor:
        """[B] classes that a label-only victim answered → [B] bool. Raises UserError where a confidence is asked for."""
        require(not self.confidence, f"confidence: {self.confidence} cannot be seen by an attack that is told labels only")
        return label != self.label if self.target is None else label == self.target

    def select(self, rows: Tensor) -> Goal:
        """Of some inputs only: rows are positions or a mask."""
        return Goal(self.label[rows], None if self.target is None else self.target[rows], self.confidence)
