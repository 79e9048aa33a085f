"""A model that remembers its training inputs, and one that learnt nothing, with the inputs to ask them about; float64."""

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn


class Memory(nn.Module):
    """Logits: minus the distance to the nearest remembered image of each class. It is right and sure on what it remembers."""

    def __init__(self, x: Tensor, y: Tensor, classes: int = 10, sharp: float = 4.0) -> None:
        super().__init__()
        self.register_buffer("x", x.flatten(1))
        self.register_buffer("other", y[None] != torch.arange(classes)[:, None])
        self.sharp = nn.Parameter(torch.tensor(sharp, dtype=x.dtype))

    def forward(self, x: Tensor) -> Tensor:
        far = torch.cdist(x.flatten(1), self.x, compute_mode="donot_use_mm_for_euclid_dist")
        return -self.sharp * torch.stack([far.masked_fill(other, torch.inf).amin(1) for other in self.other], 1)


def digits(n: int, offset: int = 0) -> tuple[Tensor, Tensor]:
    found = load_digits()
    x = torch.from_numpy(found.images[offset : offset + n] / 16 * 0.5 + 0.25)[:, None].repeat(1, 3, 1, 1)
    return x, torch.from_numpy(found.target[offset : offset + n]).long()


def remembered(n: int = 60) -> tuple[nn.Module, Tensor, Tensor, Tensor]:
    """Model, inputs, labels, member: the first n of 2n inputs are remembered, and a fifth of these under a wrong label."""
    x, y = digits(2 * n)
    learnt = torch.where(torch.arange(2 * n) % 5 == 0, (y + 1) % 10, y)
    return Memory(x[:n], learnt[:n]), x, learnt, torch.arange(2 * n) < n


def untrained(n: int = 60) -> tuple[nn.Module, Tensor, Tensor, Tensor]:
    """Likewise, of a model that has seen nothing."""
    x, y = digits(2 * n)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Flatten(), nn.Linear(192, 10, dtype=torch.float64))
    order = torch.randperm(2 * n, generator=torch.Generator().manual_seed(0))  # digits come in the order of their classes
    return model, x, y, order < n
