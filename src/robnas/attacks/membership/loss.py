"""The loss as a sign of membership (Yeom et al., 2018): it is smaller on what the model was trained on."""

from typing import Any, ClassVar

import torch
from torch import Tensor

from robnas.attacks.membership.base import Membership
from robnas.attacks.state import State
from robnas.attacks.victim import BlackBox


class Loss(Membership):
    """Membership by loss: minus the cross-entropy of the true label, from one query.

    A monotone function of its probability, so it differs from `Confidence` only where that rounds to 1: here such inputs keep their
    order. Args: see `Membership`.
    """

    access: ClassVar[str] = "score"
    scales: ClassVar[dict[str, dict[str, Any]]] = {"tiny": {"max_inputs": 300}}

    def score(self, victim: BlackBox, s: State) -> Tensor:
        """log p_y."""
        return log_probability(victim.scores(s.x), s.y)


def log_probability(p: Tensor, y: Tensor) -> Tensor:
    """p: [B, m] rows that sum to 1, y: [B] → log p_y [B] float64; −∞ where it is 0.

    Above ½ as log(1 − Σ of the others), as those keep digits that p_y itself has lost in rounding to 1.
    """
    p, own = p.double(), y[:, None]
    label = p.gather(1, own).squeeze(1)
    others = p.scatter(1, own, 0).sum(1)
    return torch.where(label > 0.5, torch.log1p(-others), label.log())
