"""Losses that a white-box attack can raise, by name: logits [B, m] → [B], larger where the attacker is nearer to the goal."""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional as F

from robnas.attacks.goal import Goal, margin


def cross_entropy(goal: Goal, logits: Tensor) -> Tensor:
    """The label's, or minus the target's, as every other library has it. In float32 its gradient is zero from a margin of 17 on."""
    if goal.target is None:
        return F.cross_entropy(logits, goal.label, reduction="none")
    return -F.cross_entropy(logits, goal.target, reduction="none")


def lead(goal: Goal, logits: Tensor) -> Tensor:
    """By how much the best other class leads over the label, or the target over all others (Carlini & Wagner, 2017: f₆, unclipped)."""
    return -margin(logits, goal.label) if goal.target is None else margin(logits, goal.target)


def dlr(goal: Goal, logits: Tensor) -> Tensor:
    """Difference of logits ratio (Croce & Hein, 2020): Eq. 6; for a target with the denominator of Eq. 7. Scales of logits cancel.

    A goal that is a target asks that it lead over all classes, not over the label alone, so its numerator here is that lead; `Aimed`
    has Eq. 7 as printed. Of two classes there is no ratio (it would be ±1 everywhere): the lead itself.
    """
    return ratio(lead(goal, logits), spread(logits, targeted=goal.target is not None))


def targeted_dlr(logits: Tensor, label: Tensor, aim: Tensor) -> Tensor:
    """Eq. 7: −(z_y − z_t) / (z_π1 − (z_π3 + z_π4) / 2). logits: [B, m], label, aim: [B] → [B]."""
    z_y, z_t = (logits.gather(1, which[:, None]).squeeze(1) for which in (label, aim))
    return ratio(z_t - z_y, spread(logits, targeted=True))


def ratio(a: Tensor, b: Tensor) -> Tensor:
    """a / b. Where a class is ruled out (−∞) there is no ratio, but a gradient: that of a."""
    return a / torch.where(a.isinf(), 1.0, b)


def spread(logits: Tensor, targeted: bool) -> Tensor:
    """Denominators: z_π1 − z_π3 of Eq. 6, z_π1 − (z_π3 + z_π4) / 2 of Eq. 7. Of three classes both are the first; of two, 1.

    Classes that the model rules out (−∞) are none of these.
    """
    m = logits.shape[1]
    if m < 3:
        return torch.ones_like(logits[:, 0])
    top = logits.topk(min(m, 4), 1).values
    third, fourth = top[:, 2], top[:, -1] if targeted else top[:, 2]
    low = (third + torch.where(fourth.isinf(), third, fourth)) / 2
    return torch.where(third.isinf(), 1.0, top[:, 0] - low + 1e-12)  # 1e-12 as in the authors' code: three equal logits


NAMED: dict[str, Callable[[Goal, Tensor], Tensor]] = {
    "log_odds": lambda goal, logits: goal.losses(logits),
    "cross_entropy": cross_entropy,
    "margin": lead,
    "dlr": dlr,
}


def named(name: str, goal: Goal, logits: Tensor) -> Tensor:
    """The loss of that name. A goal that has a loss of its own (that of TRADES, say, or `Aimed`) keeps it."""
    if type(goal).losses is not Goal.losses:
        return goal.losses(logits)
    return NAMED[name](goal, logits)


@dataclass(frozen=True)
class Aimed(Goal):
    """Any class but the label will do, and one run tries to get there by way of one of them.

    Args:
        aim: [B] that class.
    """

    aim: Tensor = field(kw_only=True)

    def losses(self, logits: Tensor) -> Tensor:
        """[B, m] → [B]: Eq. 7."""
        return targeted_dlr(logits, self.label, self.aim)

    def select(self, rows: Tensor) -> "Aimed":
        """Of some inputs only."""
        return Aimed(self.label[rows], None, self.confidence, aim=self.aim[rows])
