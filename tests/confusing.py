"""Honest and dishonest models for masking checks: trained from several seeds, or the trained one with something in the way of attacks."""

from functools import cache

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn.functional import cross_entropy

from small_victims import convolutional, trained


class Changed(nn.Module):
    """The trained model, its logits or its pixels changed."""

    def __init__(self, logits=lambda z, x: z, pixels=lambda x: x) -> None:
        super().__init__()
        self.model, self.logits, self.pixels = trained()[0], logits, pixels

    def forward(self, x):
        return self.logits(self.model(self.pixels(x)), x)


def quantised() -> nn.Module:
    """Its gradients are zero, and small steps change nothing."""
    return Changed(pixels=lambda x: x.mul(8).round() / 8)


@cache
def honest(seed: int) -> nn.Module:
    """`small_victims.trained` with other first weights and another order of the training data."""
    digits = load_digits()
    x = torch.from_numpy(digits.images / 16 * 0.5 + 0.25)[:, None].repeat(1, 3, 1, 1)
    y = torch.from_numpy(digits.target).long()
    model = nn.Sequential(*convolutional(seed=seed)[:6], nn.Flatten(), nn.Linear(256, 10).double())
    nn.init.zeros_(model[-1].weight)
    nn.init.zeros_(model[-1].bias)
    optimizer = torch.optim.SGD(model.parameters(), 0.05, momentum=0.9)
    order = torch.Generator().manual_seed(seed)
    for _ in range(4):
        for rows in torch.randperm(1500, generator=order).split(50):
            optimizer.zero_grad()
            cross_entropy(model(x[rows]), y[rows]).backward()
            optimizer.step()
    return model.eval()
