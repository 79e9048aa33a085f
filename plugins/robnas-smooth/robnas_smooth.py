"""A search for cells whose loss is flat around every image: a searcher for robnas, in a package of its own."""

from typing import Any

import torch
from torch.nn.functional import cross_entropy

from robnas.errors import require
from robnas.search.darts import DARTS


class Smooth(DARTS):
    """DARTS whose architecture pays for steep losses: α minimises L_val + λ · mean ‖∇ₓ L‖² instead of L_val (Eq. 4).

    The penalty is double backpropagation (Drucker and LeCun, 1992), which Ross and Doshi-Velez (2018) use to train robust weights; here
    weights are trained as ever, and the architecture alone pays. L is the *sum* of the losses of all inputs, so ∇ₓ of an input depends
    neither on the size of the batch nor on how ranks share it. Other inputs act on it through the batch's moments alone, as they do on
    its loss; with `batch_norm_across_ranks` those are of all ranks.

    Args:
        penalty: λ; losses are in nats, pixels in [0, 1].
        relaxed: further arguments of a relaxed searcher, such as gamma.
    """

    def __init__(self, penalty: float = 0.01, **relaxed: Any) -> None:
        super().__init__(**relaxed)
        require(penalty >= 0, f"penalty: {penalty} is negative")
        self.penalty = penalty

    def loss(self, logits, x, y):
        """logits: x [B, C, H, W] in [0, 1] → [B, classes]; y: [B] → a mean over the batch, differentiable in α."""
        x = x.detach().requires_grad_()
        losses = cross_entropy(logits(x), y, reduction="none")
        (gradient,) = torch.autograd.grad(losses.sum(), x, create_graph=True)
        return losses.mean() + self.penalty * gradient.flatten(1).square().sum(1).mean()
