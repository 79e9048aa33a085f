"""Free adversarial training (Shafahi et al., 2019), Algorithm 1: one backward pass moves the weights and the perturbation."""

from collections.abc import Sequence

import torch
from torch import Tensor

from robnas import collectives
from robnas.attacks.base import Evasion
from robnas.attacks.goal import Goal
from robnas.tasks.inner import Standing


class Recorded:
    """A victim that has been asked already: its one answer is what the weights' own pass gave."""

    def __init__(self, logits: Tensor, gradient: Tensor) -> None:
        self._answer = logits, gradient

    def logits_and_gradient(self, x: Tensor, goal: Goal) -> tuple[Tensor, Tensor]:
        """Logits [B, m] and ∇ₓℓ [B, C, H, W] at the images that were trained on; ℓ is the loss that was minimised."""
        return self._answer


class Perturbation:
    """δ of Algorithm 1, one image a place in the minibatch; it carries over from one replay and one minibatch to the next.

    Attributes:
        delta: [B, C, H, W] of this rank's places; None before the first minibatch.
    """

    def __init__(self) -> None:
        self.delta: Tensor | None = None
        self._kept: list[Tensor] | None = None  # every rank's, read from a checkpoint
        self._pending: tuple[Tensor, Tensor, Standing] | None = None

    def apply(self, attack: Evasion, x: Tensor, y: Tensor, index: Tensor, seed: int) -> Tensor:
        """x: [B, C, H, W] → Π(x + δ), which asks for its gradient. A new place begins where the attack starts."""
        s = Standing(x, Goal(y), index, seed)
        with torch.no_grad():
            start = attack.start(s)
            if self._kept is not None:
                self.delta, self._kept = share(self._kept).to(x), None
            delta = start - x
            if self.delta is not None:
                delta[: len(self.delta)] = self.delta[: len(x)]
            leaf = attack.project(x + delta, x)
        s.x_t = leaf
        leaf = leaf.detach().requires_grad_(True)
        self._pending = leaf, x, s
        return leaf

    @torch.no_grad()
    def move(self, attack: Evasion, logits: Tensor) -> None:
        """After the backward pass: the attack's step, with the gradient that it left on the images. logits: [B, m] of that pass."""
        assert self._pending is not None
        leaf, x, s = self._pending
        assert leaf.grad is not None
        new = attack.step(Recorded(logits, leaf.grad), s) - x
        self.delta = new if self.delta is None or len(self.delta) <= len(new) else torch.cat([new, self.delta[len(new) :]])
        self._pending = None

    def state(self) -> list[Tensor] | None:
        """Every rank's, in the order in which their shares of a minibatch lie. Every rank must ask."""
        if self.delta is None:
            return self._kept
        return collectives.gather(self.delta.cpu())

    def load(self, state: Sequence[Tensor] | Tensor | None) -> None:
        """Goes on from there, on any number of ranks. Checkpoints once had one tensor, of all ranks."""
        self.delta, self._kept = None, [state] if isinstance(state, Tensor) else list(state or []) or None


def share(kept: list[Tensor]) -> Tensor:
    """This rank's of what every rank kept; of another number of ranks, as they divide a minibatch: equally, one after another."""
    ranks = collectives.world_size()
    return (kept if len(kept) == ranks else torch.cat(kept).tensor_split(ranks))[collectives.rank()]
