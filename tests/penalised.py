"""A searcher with a loss of its own, as a third party may write one: small input gradients, on average over the inputs."""

import torch
from torch.nn.functional import cross_entropy

from robnas.search.darts import DARTS


class Smooth(DARTS):
    """L_val + λ · mean ‖∇_x ℓ‖². The loss behind the gradient is a sum over inputs, so that it does not depend on their number."""

    def __init__(self, strength: float = 1.0, **arguments):
        super().__init__(**arguments)
        self.strength = strength

    def loss(self, logits, x, y):
        x = x.detach().requires_grad_()
        losses = cross_entropy(logits(x), y, reduction="none")
        (gradient,) = torch.autograd.grad(losses.sum(), x, create_graph=True)
        return losses.mean() + self.strength * gradient.flatten(1).square().sum(1).mean()
