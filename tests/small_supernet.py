"""A search over one convolution, for tests that are about the task and not about the supernet."""

from contextlib import contextmanager

import torch
from torch import Tensor, nn

from robnas.space.mixture import Mixture
from robnas.space.search_space import CELL_KINDS, Space
from robnas.tasks.search import Search


class SmallSupernet(nn.Module):
    """Every operation of every edge is a channel of its own, weighted by the mixture."""

    def __init__(self, space: Space, num_classes: int, in_channels: int) -> None:
        super().__init__()
        channels = len(CELL_KINDS) * len(space.edges) * len(space.operations)
        self.stem = nn.Conv2d(in_channels, channels, 4, stride=4, bias=False)
        self.norm = nn.BatchNorm2d(channels)
        self.drop = nn.Dropout(0.1)
        self.head = nn.Linear(channels, num_classes)

    def forward(self, x: Tensor, mixture: Mixture) -> Tensor:
        weights = torch.cat([mixture.weights[kind].flatten() for kind in CELL_KINDS])
        return self.head(self.drop(torch.relu(self.norm(self.stem(x))).mean((2, 3))) * weights * 10)

    @contextmanager
    def frozen_statistics(self):
        buffers = [b.clone() for b in self.buffers()]
        yield
        for b, old in zip(self.buffers(), buffers, strict=True):
            b.copy_(old)


class SmallSearch(Search):
    def build_supernet(self, num_classes: int, in_channels: int) -> nn.Module:
        return SmallSupernet(self.space, num_classes, in_channels)
