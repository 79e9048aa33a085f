"""A bi-level problem small enough to be written twice: as modules with parameters, and as a function of its parameters."""

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from robnas.tasks.bilevel import Inner

Batch = tuple[Tensor, Tensor]


def logits(w: list[Tensor], alpha: list[Tensor], x: Tensor) -> Tensor:
    """Two mixed layers of three operations each; the weights are w. Not linear in anything."""
    for row, (a, b) in zip(alpha[0].softmax(-1), (w[:2], w[2:4]), strict=True):
        x = row[0] * torch.tanh(x @ a) + row[1] * torch.sigmoid(x @ b) * x + row[2] * x
    return x @ w[4] * alpha[1].softmax(-1)[0]


def loss(w: list[Tensor], alpha: list[Tensor], batch: Batch) -> Tensor:
    return cross_entropy(logits(w, alpha, batch[0]), batch[1])


class Problem:
    """w: five weights, α: [2, 3] and [2], batches of 8, in float64."""

    def __init__(self, seed: int = 0, momenta: bool = True) -> None:
        g = torch.Generator().manual_seed(seed)
        normal = lambda *shape: torch.randn(*shape, generator=g, dtype=torch.float64)  # noqa: E731
        self.w = [(0.5 * normal(4, 4)).requires_grad_() for _ in range(4)] + [normal(4, 3).requires_grad_()]
        self.alpha = [normal(2, 3).requires_grad_(), normal(2).requires_grad_()]
        self.train, self.valid = ((normal(8, 4), torch.randint(0, 3, (8,), generator=g)) for _ in range(2))
        self.inner = Inner(self.w, [normal(*w.shape) for w in self.w] if momenta else [], rate=0.3, momentum=0.9, decay=0.1)

    def losses(self, rank: int = 0, world_size: int = 1):
        """L_trn and L_val of a rank's share, as `bilevel` wants them."""
        share = lambda batch: tuple(t.chunk(world_size)[rank] for t in batch)  # noqa: E731
        return (lambda: loss(self.w, self.alpha, share(self.train))), (lambda: loss(self.w, self.alpha, share(self.valid)))
