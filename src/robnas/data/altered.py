"""What an attack makes of a training set: other labels, other pixels, more copies. Made as inputs are fetched: nothing is copied."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from robnas.data.batch import Batch
from robnas.data.sampling import ImageSet
from robnas.errors import require

Change = Callable[[Tensor, Tensor], Tensor]
"""(x: [B, C, H, W] uint8, index: [B]) → pixels, same shape and type. With loader processes it must be picklable."""


@dataclass(frozen=True)
class Altered:
    """An `ImageSet` of M ≥ N entries over N clean inputs. The first N are these, in their order, so that an index keeps its meaning.

    Args:
        images: the clean ones, [N].
        y: [M] int64, labels as training sees them.
        source: [M] int64, the clean input that an entry is made of; itself for the first N.
        changed: [M] bool, entries whose pixels go through `change`.
        change: what is done to them.
    """

    images: ImageSet
    y: Tensor
    source: Tensor
    changed: Tensor
    change: Change | None = None

    @classmethod
    def of(cls, images: ImageSet) -> "Altered":
        """Nothing altered yet."""
        n = len(images.y)
        return cls(images, images.y.clone(), torch.arange(n), torch.zeros(n, dtype=torch.bool))

    def __len__(self) -> int:
        return len(self.y)

    def __getitems__(self, index: Tensor) -> Batch:
        """index: [B] int64 → what training sees."""
        x = self.images.__getitems__(self.source[index]).x
        rows = self.changed[index].nonzero().squeeze(1)
        if self.change is not None and len(rows):
            x = x.clone()
            x[rows] = self.change(x[rows], index[rows])
        return Batch(x, self.y[index], index)

    def relabelled(self, index: Tensor, y: Tensor) -> "Altered":
        """Other labels y: [k] for the entries index: [k]."""
        return replace(self, y=self.y.index_copy(0, index, y))

    def repainted(self, index: Tensor, change: Change) -> "Altered":
        """Other pixels for the entries index: [k]. One change a set: a second would take the place of the first."""
        require(self.change is None, "repainted: the set has a change of its own already")
        return replace(self, changed=self.changed.index_fill(0, index, True), change=change)

    def extended(self, index: Tensor) -> tuple["Altered", Tensor]:
        """Copies of the entries index: [k] at the end → (the longer set, [k] the new entries)."""
        new = torch.arange(len(self), len(self) + len(index))
        y, source, changed = (torch.cat([t, t[index]]) for t in (self.y, self.source, self.changed))
        return replace(self, y=y, source=source, changed=changed), new

    @property
    def touched(self) -> Tensor:
        """[M] bool: entries that are not what they were: another label, other pixels, or a copy."""
        n = len(self.images.y)
        return self.changed | (self.y != self.images.y[self.source]) | (torch.arange(len(self)) >= n)
