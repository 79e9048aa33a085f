"""Partial channel connections (Xu et al., 2020, §3.1): on every edge 1/K of the channels are mixed, the others pass by.

    f(x) = Σ_o w_o · o(S ∗ x) + (1 − S) ∗ x

As in its authors' code, and not said in the paper: S always takes the first C/K channels; what passes by is max-pooled 2×2 where the edge
halves the resolution (of odd sizes the last row and column are kept, as all other operations do); and the channels are shuffled behind
every edge (K groups; Zhang et al., 2018), so that the next one mixes others. The shuffle is linear: here a node adds up its edges first
and is shuffled once.
"""

import torch
from torch import Tensor
from torch.nn import functional as F


def shuffle(x: Tensor, groups: int) -> Tensor:
    """Channel i of group g comes to place i·groups + g. x: [N, C, H, W] → the same shape, channels_last. C/groups groups undo it."""
    n, c, h, w = x.shape
    return x.permute(0, 2, 3, 1).reshape(n, h, w, groups, c // groups).mT.reshape(n, h, w, c).permute(0, 3, 1, 2)


def join(mixed: Tensor, passed: Tensor) -> Tensor:
    """The node of both parts of its channels. mixed: [N, C/K, H, W], passed: [N, C − C/K, H, W] → [N, C, H, W]."""
    k = 1 + passed.shape[1] // mixed.shape[1]
    return shuffle(torch.cat((mixed, passed), 1), k) if k > 1 else mixed


def halve(x: Tensor) -> Tensor:
    """What passes by where the resolution is halved. x: [N, C, H, W] → [N, C, ⌈H/2⌉, ⌈W/2⌉]."""
    return F.max_pool2d(x, 2, ceil_mode=True)
