"""What an attack is given to ask: logits and gradients, or scores or labels alone. Both count."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from robnas.attacks.answers import answered
from robnas.attacks.goal import Goal
from robnas.attacks.noticed import Noticed
from robnas.attacks.state import State
from robnas.errors import UserError

Losses = Callable[[Goal, Tensor], Tensor]


class WhiteBox:
    """Logits and input gradients. A pass that gives both is one query, and one gradient.

    Args:
        ask: pixels → logits.
        s: where queries are counted.
        losses: (goal, logits [B, m]) → ℓ [B], what gradients are of; `goal.losses` if not given.
        eot: expectation over transformation (Athalye et al., 2018): passes that logits and gradients are the mean of, for a model that
            is random by itself. Each of them is a query. One after another: memory does not grow.
        noticed: what counts gradients that are zero.
    """

    def __init__(
        self, ask: Callable[[Tensor], Tensor], s: State, losses: Losses | None = None, eot: int = 1, noticed: Noticed | None = None
    ) -> None:
        self._ask, self._state, self._eot, self._noticed = ask, s, eot, noticed
        self._losses: Losses = losses or (lambda goal, logits: goal.losses(logits))

    @torch.no_grad()
    def logits(self, x: Tensor, rows: Tensor | None = None) -> Tensor:
        """x: [n, C, H, W] → [n, m]. rows: [n] positions among the standing inputs; without, x holds k images of each, one after another."""
        mean = self._answer(x, rows)
        for k in range(1, self._eot):
            mean = mean + (self._answer(x, rows) - mean) / (k + 1)
        return mean

    def _answer(self, x: Tensor, rows: Tensor | None) -> Tensor:
        logits = self._ask(x)
        self._state.asked(len(x), rows, answered=answered(logits))
        return logits

    def logits_and_gradient(self, x: Tensor, goal: Goal) -> tuple[Tensor, Tensor]:
        """x: [B, C, H, W], the standing inputs → logits [B, m], ∇ₓℓ [B, C, H, W] with ℓ = `losses`.

        The losses are summed, so that an input's gradient does not depend on who stands beside it.
        """
        logits, gradient = self._pass(x, goal)
        for k in range(1, self._eot):
            more, slope = self._pass(x, goal)
            logits, gradient = logits + (more - logits) / (k + 1), gradient + (slope - gradient) / (k + 1)
        return logits, gradient

    def _pass(self, x: Tensor, goal: Goal) -> tuple[Tensor, Tensor]:
        with torch.enable_grad():
            leaf = x.detach().requires_grad_(True)
            logits = self._ask(leaf)
            if not logits.requires_grad:
                raise UserError("the model has no input gradient: a white-box attack needs logits that are differentiable in x")
            (gradient,) = torch.autograd.grad(self._losses(goal, logits).sum(), leaf)
        logits = logits.detach()
        if self._noticed is not None:
            self._noticed.gave(gradient)
        self._state.asked(len(x), None, gradient=True, answered=answered(logits) & gradient.flatten(1).isfinite().all(1))
        return logits, gradient


class BlackBox:
    """Scores (probabilities) or labels, and nothing else: no weights, no gradients, no module.

    eot: answers to each question, for a model that is random by itself: scores are their mean, a label is the one most often given.
    Each of them is a query.
    """

    __slots__ = ("answers", "labels", "scores")

    labels: Callable[..., Tensor]
    """(x: [n, C, H, W], rows=None) → [n] int64. rows as in `WhiteBox.logits`."""
    scores: Callable[..., Tensor]
    """(x: [n, C, H, W], rows=None) → [n, m], rows sum to 1. Refused where `answers` is "label"."""

    def __init__(self, ask: Callable[[Tensor], Tensor], s: State, answers: str, eot: int = 1) -> None:
        @torch.no_grad()
        def answer(x: Tensor, rows: Tensor | None) -> Tensor:
            logits = ask(x)
            s.asked(len(x), rows, answered=answered(logits))
            return logits.softmax(1)

        def scores(x: Tensor, rows: Tensor | None = None) -> Tensor:
            mean = answer(x, rows)
            for k in range(1, eot):
                mean = mean + (answer(x, rows) - mean) / (k + 1)
            return mean

        def labels(x: Tensor, rows: Tensor | None = None) -> Tensor:
            if eot == 1:
                return answer(x, rows).argmax(1)
            votes = [answer(x, rows) for _ in range(eot)]
            return torch.stack([one_hot(p.argmax(1), p.shape[1]) for p in votes]).sum(0).argmax(1)

        def refuse(x: Tensor, rows: Tensor | None = None) -> Tensor:
            raise UserError("this victim answers labels only: an attack with access = 'label' asks `victim.labels`")

        self.answers = answers
        self.labels = labels
        self.scores = scores if answers == "score" else refuse
