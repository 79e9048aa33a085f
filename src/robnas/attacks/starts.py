"""Where a boundary attack starts from: an image far away that reaches the goal."""

import torch
from torch import Tensor

from robnas import seeds
from robnas.attacks.boundary import Decisions, column
from robnas.attacks.state import State
from robnas.attacks.victim import Victim, answered
from robnas.data.base import ImageData, as_float

MOST = 2000
"""Images of the test set that are looked through for one of each class, in its order."""


def of_classes(data: ImageData, victim: Victim) -> dict[int, Tensor]:
    """class → the first image of the test set that the victim takes for it: what an attacker with a target brings along.

    The same for all inputs, batch sizes and ranks. Those images are asked once, apart from the attack's queries.
    """
    images, found = data.sets()[1], dict[int, Tensor]()
    for index in torch.split(torch.arange(min(len(images.y), MOST)), 250):
        x = victim.take(as_float(images.__getitems__(index), victim.dtype or torch.float32).x)
        logits = victim.judge(x)
        for k, c in enumerate(torch.where(answered(logits), logits.argmax(1), -1).tolist()):
            if c >= 0:
                found.setdefault(c, x[k])
        if len(found) == logits.shape[1]:
            break
    return found


def find(phi: Decisions, s: State, given: dict[int, Tensor], n: int) -> Tensor:
    """s.x_t becomes an image that reaches the goal → [B] bool, for which inputs one was found.

    First the images that are given, by index of the input (those that have one), then up to n of uniform noise (Chen, Jordan & Wainwright,
    2020; ART's default is also 100). Our own: the second half of these is blended with the input at a random share, for a model that takes
    noise itself for the input's class.
    """
    found = torch.zeros(len(s), dtype=torch.bool, device=s.x.device)
    x_t = s.x.clone()
    have = torch.tensor([i in given for i in s.index.tolist()], dtype=torch.bool, device=s.x.device)
    if have.any():
        rows = have.nonzero().squeeze(1)
        images = torch.stack([given[i] for i in s.index[rows].tolist()]).to(s.x).clamp_(0, 1)
        yes = phi(images, rows)
        x_t[rows[yes]] = images[yes]
        found[rows] = yes
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
