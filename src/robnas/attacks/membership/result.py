"""What a membership attack says of each input."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import Any

import torch
from torch import Tensor

from robnas import roc
from robnas.errors import UserError


@dataclass(repr=False)
class MembershipResult:
    """Of N inputs, on the device that they came from.

    Attributes:
        score: [N] higher: more likely a member; NaN where the attack errored.
        queries: [N] int64, passes through the model that the attack asked for.
        errored: [N] bool, the model gave no numbers (NaN), or there is no score: in no n.
        eligible: [N] bool, looked at: all, unless `confidence` keeps non-members out.
        correct: [N] bool, right on the input. loss: [N] its cross-entropy. Both as the referee sees them, whatever the attack may see.
        label: [N]. index: [N].
        member: [N] bool, the truth, where it was given.
        kept: [N] each, what the attack keeps of an input beside its score (`distance`, …).
        seconds: for all N.
    """

    score: Tensor
    queries: Tensor
    errored: Tensor
    eligible: Tensor
    correct: Tensor
    loss: Tensor
    label: Tensor
    index: Tensor
    member: Tensor | None = None
    kept: dict[str, Tensor] = field(default_factory=dict)
    seconds: float = 0.0

    def __repr__(self) -> str:
        known = "membership unknown" if self.member is None else f"{int(self.member.sum())} members among them"
        lost = f", {int(self.errored.sum())} errored" if self.errored.any() else ""
        return f"MembershipResult({len(self.score)} inputs, {known}{lost}, {int(self.queries.sum()):,} queries, {self.seconds:.1f} s)"

    def auc(self) -> roc.Estimate:
        """Signed AUC with its 95% interval (`.value`, `.ci`). Raises UserError where no `member` was given."""
        if self.member is None:
            raise UserError("member: who was a member was not given, so there is no AUC: attack(model, x, y, member=mask)")
        counted = self.eligible & ~self.errored
        x, y = (self.score[counted & group].double().cpu().numpy() for group in (self.member, ~self.member))
        return roc.auc(x, y)

    def to(self, device: torch.device | str) -> MembershipResult:
        """The same on another device."""
        moved: dict[str, Any] = {name: value.to(device) for name, value in vars(self).items() if isinstance(value, Tensor)}
        return replace(self, **moved, kept={k: v.to(device) for k, v in self.kept.items()})

    @classmethod
    def cat(cls, parts: list[MembershipResult]) -> MembershipResult:
        """One result of several, in their order."""
        first = parts[0]
        names = [f.name for f in fields(cls) if isinstance(getattr(first, f.name), Tensor)]
        tensors: dict[str, Any] = {name: torch.cat([getattr(p, name) for p in parts]) for name in names}
        kept = {k: torch.cat([p.kept[k] for p in parts]) for k in first.kept}
        return cls(**tensors, kept=kept, seconds=sum(p.seconds for p in parts))

    def outcomes(self) -> dict[str, Tensor]:
        """What is kept of each input."""
        return {f.name: v for f in fields(self) if isinstance(v := getattr(self, f.name), Tensor)} | self.kept
