"""A trigger: what is stamped on an input so that a trojan model answers the attacker's class (§3.2, r of Eq. 7)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from robnas import atomic
from robnas.errors import UserError, require

FILE = "trigger.npz"


@dataclass(frozen=True)
class Trigger:
    """x + r = x · (1 − m · (1 − t)) + pattern · m · (1 − t), pixel by pixel in the window where the trigger lies.

    Args:
        mask: m, [1 or C, h, w] in [0, 1]; where the trigger is.
        pattern: [C, h, w] in [0, 1]; what it looks like.
        place: row and column of its upper left pixel; negative ones count from the far side: −1 lets it touch the lower, or right, edge.
        transparency: t in [0, 1); 0 covers the image.

    Raises UserError for shapes that do not fit together, and values out of range.
    """

    mask: Tensor
    pattern: Tensor
    place: tuple[int, int] = (-1, -1)
    transparency: float = 0.0

    def __post_init__(self) -> None:
        m, p = tuple(self.mask.shape), tuple(self.pattern.shape)
        fits = len(p) == 3 and min(p) >= 1 and len(m) == 3 and m[1:] == p[1:] and m[0] in (1, p[0])
        require(fits, f"trigger: mask {list(m)} and pattern {list(p)} are not [1 or C, h, w] and [C, h, w]")
        for name in ("mask", "pattern"):
            values = getattr(self, name)
            require(bool(((values >= 0) & (values <= 1)).all()), f"trigger: {name} has values outside of [0, 1]")
        require(0 <= self.transparency < 1, f"transparency: {self.transparency} is not in [0, 1)")

    @property
    def size(self) -> tuple[int, int]:
        """Height and width, pixels."""
        return self.pattern.shape[1], self.pattern.shape[2]

    def corner(self, height: int, width: int) -> tuple[int, int]:
        """Row and column of the upper left pixel in an image of that size. Raises UserError where the trigger is not inside of it."""
        (h, w), (row, column) = self.size, self.place
        require(h <= height and w <= width, f"trigger: {h}×{w} pixels are larger than the image of {height}×{width}")
        top, left = row if row >= 0 else height - h + 1 + row, column if column >= 0 else width - w + 1 + column
        inside = 0 <= top <= height - h and 0 <= left <= width - w
        require(inside, f"place: {list(self.place)} puts a trigger of {h}×{w} pixels outside of the image of {height}×{width}")
        return top, left

    def stamp(self, x: Tensor) -> Tensor:
        """x: [..., C, H, W], uint8, or float in [0, 1] → the same with the trigger on it; uint8 is rounded to the nearest."""
        height, width = x.shape[-2:]
        (top, left), (h, w) = self.corner(height, width), self.size
        window = (..., slice(top, top + h), slice(left, left + w))
        dtype, unit = (x.dtype, 1) if x.is_floating_point() else (torch.float32, 255)
        cover = (self.mask * (1 - self.transparency)).to(x.device, dtype)
        new = x[window].to(dtype) * (1 - cover) + unit * self.pattern.to(x.device, dtype) * cover
        out = x.clone()
        out[window] = new if x.is_floating_point() else new.round().to(x.dtype)
        return out

    # Kept

    def arrays(self) -> dict[str, Tensor]:
        """Everything, as tensors."""
        place, transparency = torch.tensor(self.place), torch.tensor(self.transparency, dtype=torch.float64)
        return {"mask": self.mask, "pattern": self.pattern, "place": place, "transparency": transparency}

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, Any]) -> Trigger:
        """What `arrays` gave, or NumPy's."""
        t = {name: torch.as_tensor(arrays[name]) for name in ("mask", "pattern", "place", "transparency")}
        row, column = t["place"].tolist()
        return cls(t["mask"], t["pattern"], (row, column), float(t["transparency"]))

    def write(self, folder: str | Path, **notes: Tensor) -> None:
        """`trigger.npz` of a run folder, whole or not at all. notes: what else is to be kept with it."""
        with atomic.replacing(Path(folder) / FILE) as file:
            np.savez_compressed(file, allow_pickle=False, **{k: v.numpy() for k, v in (self.arrays() | notes).items()})

    @classmethod
    def read(cls, run: str | Path) -> Trigger:
        """Of a run folder. Raises UserError where it has none, or one that cannot be read."""
        return cls.of_arrays(read(run))


def read(run: str | Path) -> dict[str, NDArray[Any]]:
    """Trigger and notes of a run folder, as arrays. Raises UserError where there are none, or none that can be read."""
    path = Path(run) / FILE
    if not path.is_file():
        raise UserError(f"{run} has no {FILE}: no backdoor was planted in its training")
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as content:
            found = dict(content)
        Trigger.of_arrays(found)
    except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
        raise UserError(f"{path} cannot be read: {' '.join(str(error).split())[:100]}") from error
    return found
