"""Distance to the decision boundary as a sign of membership, by labels alone: §3.2, Fig. 10."""

from __future__ import annotations

import math
import sys
from typing import Any, ClassVar

from lightning.pytorch import Trainer
from torch import Tensor

from robnas.attacks import norms
from robnas.attacks.hopskipjump import HopSkipJump, boundary_distance
from robnas.attacks.membership.base import Membership
from robnas.attacks.membership.inputs import Chosen
from robnas.attacks.state import State
from robnas.attacks.victim import Victim


class HopSkipJumpDistance(Membership):
    """Membership by labels alone: how far HopSkipJump must go until the label changes; 0 where the model is wrong on the input itself.

    The paper has members nearer to the boundary, later work farther (Choquette-Choo et al., 2021; Li & Zhang, 2021): here farther counts
    as a member, and an AUC below ½ would say that the paper is right.

    Args:
        steps, initial_evaluations, max_evaluations, norm: of `HopSkipJump`; the paper's by default, about 25,000 queries an input.
        measured: norm that the distance is told in, if not the one in which it was made small (the authors' code: L∞ after L2).
        kwargs: see `Membership`.
    """

    access: ClassVar[str] = "label"
    errs: ClassVar[str] = HopSkipJump.errs
    kept: ClassVar[tuple[str, ...]] = ("distance",)
    scales: ClassVar[dict[str, dict[str, Any]]] = {
        "tiny": {"steps": 5, "initial_evaluations": 25, "max_evaluations": 100, "max_inputs": 100}
    }

    def __init__(
        self,
        steps: int = 50,
        initial_evaluations: int = 100,
        max_evaluations: int = 2500,
        norm: str = "l2",
        measured: str | None = None,
        **kwargs: Any,
    ) -> None:
        self.steps, self.initial_evaluations, self.max_evaluations = steps, initial_evaluations, max_evaluations
        self.norm, self.measured = norm, measured
        super().__init__(**kwargs)
        HopSkipJump(**self.settings())
        HopSkipJump(norm=measured or norm)

    def settings(self) -> dict[str, Any]:
        """Of `HopSkipJump`."""
        return {k: getattr(self, k) for k in ("steps", "initial_evaluations", "max_evaluations", "norm")}

    def ask(self, victim: Victim, s: State, seed: int) -> tuple[Tensor, Tensor, Tensor]:
        """The distance as score."""
        r = boundary_distance(victim, s.x, s.y, s.index, seed, **self.settings())
        s.distance = r.distance
        if self.measured not in (None, self.norm):
            s.distance = norms.distance(r.x_adv, s.x, str(self.measured)).where(~r.errored, r.distance)
        return s.distance, r.queries, ~r.errored

    def ready(self, trainer: Trainer, chosen: Chosen) -> None:
        """Say what it will cost, before anything is asked."""
        if trainer.is_global_zero:
            attack, n = HopSkipJump(**self.settings()), len(chosen.index)
            d = math.prod(self._data.image_shape)
            each = f"{self.name}: about {attack.expected(d):,} queries an input, at most {attack.budget(d):,}"
            print(f"{each}; of {n:,} inputs, about {n * attack.expected(d):,}", file=sys.stderr, flush=True)
