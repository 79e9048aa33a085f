"""Which training inputs are stamped, and the training set that this makes."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from robnas import seeds
from robnas.attacks.backdoor.trigger import Trigger
from robnas.data.altered import Altered
from robnas.errors import require


@dataclass(frozen=True)
class Stamp:
    """What becomes of the pixels of stamped entries as they are fetched. Picklable, for loader processes.

    Args:
        trigger: stamped on them; None: not here, but after augmentation.
        entries: [k] sorted, the stamped ones.
        pixels: [k, C, H, W] uint8, what they are before the trigger; None: as they are.
    """

    trigger: Trigger | None
    entries: Tensor
    pixels: Tensor | None = None

    def __call__(self, x: Tensor, index: Tensor) -> Tensor:
        """x: [B, C, H, W] uint8, index: [B] → same shape."""
        if self.pixels is not None:
            x = self.pixels[torch.searchsorted(self.entries, index)]
        return x if self.trigger is None else self.trigger.stamp(x)


def choose(pool: Tensor, may: Tensor, share: float, seed: int, among: str) -> Tensor:
    """pool: [P] entries, may: [P] bool → [round(share · P)] of those that may be stamped, sorted. With one seed those of a smaller share
    are among those of a larger one. Raises UserError where there are not so many.
    """
    count, line = round(share * len(pool)), pool[may]
    require(
        count <= len(line),
        f"share: {share:g} of {len(pool):,} training inputs are {count:,}, but there are only {len(line):,} {among}",
    )
    return line[seeds.bits(line, 1, seed, "stamped")[:, 0].argsort(stable=True)][:count].sort().values


def entries(clean: Altered, chosen: Tensor, copies: bool) -> Tensor:
    """[k] the entries that will be stamped: the chosen ones, or their copies at the end."""
    return torch.arange(len(clean), len(clean) + len(chosen)) if copies else chosen


def plant(clean: Altered, pool: Tensor, chosen: Tensor, y: Tensor, change: Stamp, copies: bool) -> tuple[Altered, Tensor]:
    """chosen: [k] inputs, y: [k] their labels → the poisoned set, and what training draws of it."""
    if copies:
        clean, new = clean.extended(chosen)
        pool = torch.cat([pool, new])
    return clean.relabelled(change.entries, y).repainted(change.entries, change), pool
