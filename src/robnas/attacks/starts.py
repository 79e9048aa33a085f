"""Where a boundary attack starts from: an image far away that reaches the goal."""

import torch
from torch import Tensor

from robnas import seeds
from robnas.attacks.boundary import Decisions, column
from robnas.attacks.state import State


def find(phi: Decisions, s: State, given: dict[int, Tensor], n: int) -> Tensor:
    """s.x_t becomes an image that reaches the goal → [B] bool, for which inputs one was found.

    First the images that the caller gives (by index of the input), then up to n of uniform noise (Chen, Jordan & Wainwright, 2020; ART's
    default is also 100). Our own: the second half of these is blended with the input at a random share, for a model that takes noise itself
    for the input's class.
    """
    found = torch.zeros(len(s), dtype=torch.bool, device=s.x.device)
    x_t = s.x.clone()
    if given and len(s):
        images = torch.stack([given[i] for i in s.index.tolist()]).to(s.x).clamp_(0, 1)
        found = phi(images)
        x_t[found] = images[found]
    names = s.streams(2 * n)
    for k in range(n):
        rows = (~found).nonzero().squeeze(1)
        if not len(rows):
            break
        images = seeds.uniform(names[rows, k], tuple(s.x.shape[1:]), "start", dtype=s.x.dtype)
        if k >= (n + 1) // 2:
            share = seeds.uniform(names[rows, n + k], (), "start", dtype=s.x.dtype)
            images = torch.lerp(s.x[rows], images, column(share, images)).clamp_(0, 1)
        yes = phi(images, rows)
        x_t[rows[yes]] = images[yes]
        found[rows] = yes
    s.x_t = x_t
    return found & s.answered
