"""The victim as a thief sees it: it answers, counts what it is asked, and hands out nothing else."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from robnas.attacks.victim import answered, wide
from robnas.copies import evaluation_copy
from robnas.errors import UserError, require, unknown

ANSWERS = ("score", "label")


@runtime_checkable
class Guard(Protocol):
    """A defence that stands between a victim and who asks it."""

    def guard(self, p: Tensor) -> Tensor:
        """p: [n, m] probabilities → [n, m], what is handed out instead: not negative; rows need not sum to 1."""
        ...


class Oracle:
    """Probabilities or labels, and nothing else: no weights, no gradients, no module. The model itself is copied and never touched.

    Args:
        model: pixels in [0, 1] → logits [n, m].
        answers: "score": probabilities; "label": the class alone.
        guards: what the probabilities go through first.
        classes: m that is expected, where one is.
    """

    __slots__ = ("ask", "asked")

    ask: Callable[[Tensor], Tensor]
    """x: [n, C, H, W] in [0, 1] → [n, m] on the CPU, or with labels [n] int64; NaN, or −1, where the victim gave no numbers. Raises
    UserError where it does not take such images, does not answer with logits, or of other classes."""
    asked: Callable[[], int]
    """Images that were sent so far."""

    def __init__(self, model: nn.Module, answers: str = "score", guards: Sequence[Guard] = (), classes: int | None = None) -> None:
        if answers not in ANSWERS:
            raise unknown("answers", answers, ANSWERS)
        frozen = evaluation_copy(model)
        first = next((t for t in (*frozen.parameters(), *frozen.buffers()) if t.is_floating_point()), None)
        count = 0

        @torch.no_grad()
        def ask(x: Tensor) -> Tensor:
            nonlocal count
            count += len(x)
            x = x.to(x.device if first is None else first.device, x.dtype if first is None else first.dtype, copy=True)
            try:
                logits = frozen(x)
            except torch.OutOfMemoryError:
                raise
            except RuntimeError as error:
                why = " ".join(str(error).split())[:200]
                raise UserError(f"victim: images {list(x.shape[1:])} are not what it takes: {why}") from error
            if not isinstance(logits, Tensor) or logits.ndim != 2 or len(logits) != len(x) or logits.shape[1] < 2:
                what = f"shape {list(logits.shape)}" if isinstance(logits, Tensor) else type(logits).__name__
                raise UserError(f"victim: it answers {what}; logits [{len(x)} inputs, at least 2 classes] are needed")
            m = logits.shape[1]
            require(classes is None or m == classes, f"victim: it answers {m} classes, but the data have {classes}")
            logits = wide(logits)
            known = answered(logits)
            p = logits.softmax(1)
            for guard in guards:
                p = guard.guard(p)
            if answers == "label":
                return p.argmax(1).masked_fill(~known, -1).cpu()
            return p.masked_fill(~known[:, None], torch.nan).cpu()

        def asked() -> int:
            return count

        self.ask, self.asked = ask, asked


def as_rows(answer: Tensor, classes: int) -> Tensor:
    """What an oracle answered → [n, m], a label as one-hot row; NaN where there is no answer."""
    if answer.ndim == 2:
        return answer
    return one_hot(answer.clamp_min(0), classes).float().masked_fill((answer < 0)[:, None], torch.nan)


def as_targets(rows: Tensor) -> Tensor:
    """[n, m] answers, perhaps rounded → rows that sum to 1; what was rounded to nothing says nothing: 1/m each. NaN stays."""
    total = rows.sum(1, keepdim=True)
    return torch.where(total == 0, 1 / rows.shape[1], rows / total)
