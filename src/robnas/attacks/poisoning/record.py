"""Which inputs of a training were poisoned, and how: `poison.npz` in the run folder."""

from __future__ import annotations

from dataclasses import dataclass, fields
from hashlib import blake2b
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from robnas import atomic
from robnas.data.altered import Altered
from robnas.errors import UserError

FILE = "poison.npz"
LABEL, PIXELS, COPY, LEFT_OUT = 1, 2, 4, 8
"""Kinds of change; a `kind` is their sum."""


@dataclass(frozen=True)
class Record:
    """Entries of the training set that differ from the clean one, in the order of `index`; [K] each.

    Args:
        index: of the entry; that of the data set, and beyond it for entries that were added.
        source: the clean input that it is made of.
        old: the label before.
        new: the label that training sees.
        kind: sum of what has changed: 1 the label, 2 the pixels, 4 it was added, 8 it was taken out of the training.
    """

    index: NDArray[np.int64]
    source: NDArray[np.int64]
    old: NDArray[np.int64]
    new: NDArray[np.int64]
    kind: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.index)

    @classmethod
    def of(cls, clean: Altered, pool: Tensor, poisoned: Altered, drawn: Tensor) -> Record:
        """pool: what training would draw of `clean`; drawn: what it draws of `poisoned`. Entries that it never sees do not count."""
        n, m = len(clean), len(poisoned)
        entry, before, after = np.arange(m), np.isin(np.arange(m), pool.numpy()), np.isin(np.arange(m), drawn.numpy())
        source, new = poisoned.source.numpy(), poisoned.y.numpy()
        old = np.concatenate([clean.y.numpy(), poisoned.images.y.numpy()[source[n:]]])
        pixels = poisoned.changed.numpy() & ~np.pad(clean.changed.numpy(), (0, m - n))
        kind = LABEL * (old != new) + PIXELS * pixels + COPY * (entry >= n)
        kind = kind * after + LEFT_OUT * (before & ~after)
        rows = kind.nonzero()[0]
        return cls(rows, source[rows], old[rows], new[rows], kind[rows].astype(np.uint8))

    @property
    def digest(self) -> str:
        """Equal for equal records."""
        found = blake2b(digest_size=16)
        for field in fields(self):
            found.update(getattr(self, field.name).tobytes())
        return found.hexdigest()

    def write(self, folder: str | Path) -> None:
        """Whole or not at all."""
        with atomic.replacing(Path(folder) / FILE) as file:
            np.savez_compressed(file, allow_pickle=False, **{field.name: getattr(self, field.name) for field in fields(self)})

    @classmethod
    def read(cls, run: str | Path) -> Record:
        """Of a run folder. Raises UserError where it has none, or one that cannot be read."""
        path = Path(run) / FILE
        if not path.is_file():
            raise UserError(f"{run} has no {FILE}: its training was not poisoned")
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
                return cls(**{field.name: arrays[field.name] for field in fields(cls)})
        except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
            raise UserError(f"{path} cannot be read: {' '.join(str(error).split())[:100]}") from error
