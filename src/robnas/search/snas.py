"""SNAS (Xie et al., 2019): the architecture as a random variable, α and weights stepped together through one draw (§2)."""

from typing import Any

import torch
from torch import Tensor

from robnas.errors import require
from robnas.search.base import Relaxed


class SNAS(Relaxed):
    """SNAS: almost one-hot operations, drawn and stepped with the weights; relaxed (Xie et al., 2019).

    Every step draws an almost one-hot weight for each edge, and its loss is differentiated through the draw (§2.2).

    To be run with `order: joint`: one level, both parameters from one pass over the training part. The draw is that of the step, the
    same in every cell of a kind, for every input and on every rank.

    The paper says that λ goes to zero, not how; we take the line from 1 to 0.03 of its authors' code. That code derives a cell of all
    edges whose most likely operation is not zero; we keep two a node, as the published cells have. The resource constraint (§2.4), and
    the code's drop path and clipping of α's gradient, are left out. It starts α around 1, not around 0, which a softmax does not see, but
    weight decay does; and it steps α by Adam on several devices and by plain SGD on one, where we always take Adam.
    γ (§5.2) works in both readings: on α before the draw, or on the weight that was drawn.

    Args:
        temperature: λ in the first epoch.
        temperature_end: λ that the line would reach after the last epoch.
        arguments: of `Relaxed`. The authors' code starts α with an `init_scale` of 0.01.
    """

    def __init__(self, temperature: float = 1.0, temperature_end: float = 0.03, **arguments: Any) -> None:
        super().__init__(**arguments)
        require(temperature > 0, f"temperature: {temperature} is not positive")
        require(0 < temperature_end <= temperature, f"temperature_end: {temperature_end} is not in (0, {temperature}]")
        self.temperature, self.temperature_end = temperature, temperature_end
        self.now = temperature
        """λ of this epoch."""

    def epoch_start(self, epoch: int, max_epochs: int) -> None:
        """λ falls on a line, epoch by epoch."""
        self.now = self.temperature_end + (self.temperature - self.temperature_end) * (1 - epoch / max_epochs)

    def sample(self, alpha: Tensor, kind: str) -> Tensor:
        """Z of §2.2, one draw for each edge; cells derive from softmax(α), how likely each operation is.

        alpha: [E, O] → [E, O], rows sum to 1.
        """
        u = torch.rand(alpha.shape, dtype=torch.float64, device="cpu", generator=self.generator(f"gumbel {kind}"))
        return concrete(alpha, u.to(alpha.device), self.now)

    def figures(self) -> dict[str, float]:
        """λ of this epoch."""
        return super().figures() | {"temperature": self.now}

    def state(self) -> dict[str, Any]:
        """λ, and what every relaxed search has."""
        return super().state() | {"temperature": self.now}

    def rebuild(self, state: dict[str, Any]) -> None:
        """The reverse of `state`."""
        super().rebuild(state)
        self.now = state["temperature"]


def concrete(alpha: Tensor, u: Tensor, temperature: float) -> Tensor:
    """Concrete distribution (Maddison et al., 2017): softmax((α + G)/λ) with Gumbel noise G = −log(−log U).

    One-hot as λ → 0, operation o then with probability softmax(α)_o; differentiable in α at every λ > 0.

    Args:
        alpha: [E, O], unnormalised logarithms of probabilities; −∞: never.
        u: [E, O] uniform on [0, 1), float64.
        temperature: λ.
    """
    gumbel = -(-u.clamp_min(torch.finfo(u.dtype).tiny).log()).log()
    return ((alpha + gumbel.to(alpha.dtype)) / temperature).softmax(-1)
