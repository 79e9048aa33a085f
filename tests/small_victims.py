"""Models small enough to be attacked in a test, in float64."""

from functools import cache

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn.functional import cross_entropy


class Linear(nn.Module):
    """Two classes, logits (w·x + b, 0): class 0 exactly where w·x + b > 0."""

    def __init__(self, w: Tensor, b: float = 0.0) -> None:
        super().__init__()
        self.w, self.b = nn.Parameter(w), b

    def forward(self, x: Tensor) -> Tensor:
        z = x.flatten(1) @ self.w + self.b
        return torch.stack([z, torch.zeros_like(z)], 1)


def convolutional(classes: int = 10, width: int = 8, seed: int = 0) -> nn.Sequential:
    """Two convolutions with BatchNorm, float64, training mode, running statistics that matter."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        first, second = nn.Conv2d(3, width, 3, padding=1, bias=False), nn.Conv2d(width, 2 * width, 3, stride=2, padding=1)
        bns = [nn.BatchNorm2d(width), nn.BatchNorm2d(2 * width)]
        for bn in bns:
            nn.init.uniform_(bn.weight, 0.5, 1.5)
            nn.init.normal_(bn.bias, 0, 0.1)
            bn.running_mean.normal_(0, 0.1)
            bn.running_var.uniform_(0.5, 2)
        head = nn.Linear(2 * width, classes)
    return nn.Sequential(first, bns[0], nn.ReLU(), second, bns[1], nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), head).double()


def images(n: int = 32, side: int = 8, seed: int = 0) -> Tensor:
    return torch.rand(n, 3, side, side, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@cache
def trained() -> tuple[nn.Module, Tensor, Tensor]:
    """A network of 0.9 and more on scikit-learn's digits at half contrast, in evaluation mode, and 200 inputs it has not seen."""
    digits = load_digits()
    x = torch.from_numpy(digits.images / 16 * 0.5 + 0.25)[:, None].repeat(1, 3, 1, 1)
    y = torch.from_numpy(digits.target).long()
    model = nn.Sequential(*convolutional()[:6], nn.Flatten(), nn.Linear(256, 10).double())
    for p in model[-1].parameters():
        nn.init.zeros_(p)  # whatever was drawn before
    optimizer = torch.optim.SGD(model.parameters(), 0.05, momentum=0.9)
    order = torch.Generator().manual_seed(0)
    for _ in range(4):
        for rows in torch.randperm(1500, generator=order).split(50):
            optimizer.zero_grad()
            cross_entropy(model(x[rows]), y[rows]).backward()
            optimizer.step()
    return model.eval(), x[1500:1700], y[1500:1700]
