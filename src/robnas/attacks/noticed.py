"""What a victim's answers give away while it is attacked: counts that add up over batches and ranks, and what they make doubtful."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

FLAT = 0.1
"""Share of input gradients that are zero in all pixels from which on they are flagged. A network with all its float32 has none."""
ENOUGH = 10
"""Inputs for each class of the model from which on it is said that a class never came up: by chance that happens to one in 20,000."""
FEW = 5
"""Inputs of a class, by its label, below which nothing is said of it: of data sorted by class the first may have none."""


@dataclass
class Noticed:
    """flags: words of the victim itself. answers: [m] judged images by their class. gradients: [2] asked for, and zero in all pixels."""

    flags: set[str] = field(default_factory=set)
    answers: Tensor | None = None
    gradients: Tensor | None = None

    def judged(self, logits: Tensor, fine: Tensor) -> None:
        """logits: [B, m]; fine: [B] bool, those that are numbers."""
        if self.answers is None or len(self.answers) != logits.shape[1]:
            self.answers = torch.zeros(logits.shape[1], dtype=torch.int64, device=logits.device)
        self.answers.index_add_(0, logits.argmax(1), fine.long())

    def gave(self, gradient: Tensor) -> None:
        """gradient: [B, C, H, W]."""
        flat = (gradient.flatten(1) == 0).all(1)
        seen = torch.stack([torch.ones_like(flat).sum(), flat.sum()])
        self.gradients = seen if self.gradients is None else self.gradients + seen

    def arrays(self) -> dict[str, NDArray[Any]]:
        """To be kept in a file. What was counted begins anew, so that each batch has its own; flags stay."""
        empty = torch.zeros(0, dtype=torch.int64)
        out: dict[str, NDArray[Any]] = {"flags": np.array(sorted(self.flags), dtype=np.str_)}
        out |= {k: (empty if v is None else v.cpu()).numpy() for k, v in (("answers", self.answers), ("gradients", self.gradients))}
        self.answers = self.gradients = None
        return out


def doubts(noticed: Iterable[Mapping[str, NDArray[Any]]], outcomes: Mapping[str, NDArray[Any]], goal: str | None, white: bool) -> list[str]:
    """Flags of an attack's rows.

    Args:
        noticed: of every batch on every rank.
        outcomes: of all inputs.
        goal: the attack's; None: it has none. white: whether it follows gradients.
    """
    told = together(noticed)
    found, answers, gradients = {str(flag) for flag in told["flags"]}, told["answers"], told["gradients"]
    if white and len(gradients) and gradients[1] >= FLAT * gradients[0] > 0:
        found.add("no gradient")
    if len(answers) and len(outcomes["index"]) >= ENOUGH * len(answers):
        shown = np.ones(len(answers), dtype=bool)
        if "label" in outcomes:
            shown = np.bincount(outcomes["label"], minlength=len(answers)) >= FEW
        if ((answers == 0) & shown).any():
            found.add("one class only" if (answers > 0).sum() == 1 else "class never predicted")
    if len(answers) == 2 and goal == "least_likely":
        found.add("second is last class")
    if goal is not None and not outcomes["eligible"].any():
        found.add("nothing attacked")
    return sorted(found)


def together(noticed: Iterable[Mapping[str, NDArray[Any]]]) -> dict[str, NDArray[Any]]:
    """Of several batches as if they were one: all flags, and sums of the counts."""
    parts = list(noticed)
    flags = sorted({str(flag) for part in parts for flag in part.get("flags", ())})
    out: dict[str, NDArray[Any]] = {"flags": np.array(flags, dtype=np.str_)}
    return out | {k: _sum([part[k] for part in parts if k in part]) for k in ("answers", "gradients")}


def _sum(arrays: list[NDArray[Any]]) -> NDArray[Any]:
    filled = [a for a in arrays if len(a)]
    return np.sum(filled, axis=0) if filled else np.zeros(0, dtype=np.int64)
