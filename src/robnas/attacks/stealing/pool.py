"""What a thief may ask about: inputs of the victim's data set, or of another one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Trainer
from torch import Tensor
from torch.nn.functional import interpolate

from robnas import collectives, jobs
from robnas.attacks.membership.past import ANSWERS, configuration, seen_before
from robnas.attacks.membership.shadows import images
from robnas.data import membership
from robnas.data.base import Batch, ImageData, as_float
from robnas.data.sampling import ImageSet
from robnas.errors import UserError, require

POOLS = ("non_members", "members", "train")


@dataclass(frozen=True)
class Pool:
    """index: [P] into `images`; seed: of the theft. An image is fetched when it is asked about: nothing is copied."""

    images: ImageSet
    index: Tensor
    seed: int

    def __len__(self) -> int:
        return len(self.index)

    @property
    def y(self) -> Tensor:
        """[P] the labels that the thief's own data have."""
        return self.images.y[self.index]

    def x(self, index: Tensor) -> Tensor:
        """index: [n] → [n, C, H, W] in [0, 1], never augmented."""
        return as_float(self.images.__getitems__(index)).x


class Unasked:
    """What of a pool is left to ask about. who: whom to blame for queries that leave it, or come again."""

    def __init__(self, pool: Pool, who: str) -> None:
        self._left, self._who = torch.zeros(len(pool.images.y), dtype=torch.bool).index_fill(0, pool.index, True), who

    def take(self, index: Tensor) -> None:
        """index: [n], before they are asked. Raises ValueError where there are none, one is not in the pool, or one comes again."""
        known = len(index) > 0 and bool(((index >= 0) & (index < len(self._left))).all())
        if not known or len(set(index.tolist())) < len(index) or not bool(self._left[index].all()):
            raise ValueError(f"{self._who}: inputs of pool.index are to be asked about, at least one at a time and none of them twice")
        self._left[index] = False


@dataclass(frozen=True)
class Resized:
    """Images of another size, bilinear with antialiasing, as they are fetched. shape: (C, H, W)."""

    images: ImageSet
    shape: tuple[int, int, int]

    @property
    def y(self) -> Tensor:
        """[N]."""
        return self.images.y

    def __getitems__(self, index: Tensor) -> Batch:
        """index: [B] → x: [B, *shape] uint8."""
        batch = self.images.__getitems__(index)
        x = interpolate(batch.x.float(), self.shape[1:], mode="bilinear", antialias=True)
        return batch._replace(x=x.round().clamp(0, 255).to(torch.uint8))


def choose(which: str, data: ImageData, victim: str, trainer: Trainer, seed: int) -> Pool:
    """Of the victim's own data set, less what this fit holds out to validate.

    Args:
        which: "non_members", what neither the victim nor the weights that it began with were trained on; "members", its own training set;
            "train": both.
        data: of the fit.
        victim: as the configuration names it; its run folder says whom it was trained on.

    Raises:
        UserError: that is not known, it was trained on other data, or the pool is empty.
    """
    train = data.sets()[0]
    mask = torch.ones(len(train.y), dtype=torch.bool)
    if which != "train":
        mask = torch.from_numpy(_members(which, data, victim, trainer))
        mask = mask if which == "members" else ~mask
    mask[data.parts()[1]] = False
    pool = Pool(train, mask.nonzero()[:, 0], seed)
    way = "one trained with --data.members=0.5 leaves half; or pool: members, or pool_data"
    require(len(pool) > 0, f"pool: {which} is empty: the victim was trained on all but what is held out to validate; {way}")
    return pool


def other(source: ImageData, data: ImageData, seed: int) -> Pool:
    """The training part of another data set, resized where its images are of another size. Raises UserError for other channels."""
    collectives.from_first(source.prepare_data)
    here, there = data.image_shape, source.image_shape
    require(here[0] == there[0], f"pool_data: {source.name} has images of {there[0]} channels, {data.name} of {here[0]}")
    train = source.sets()[0]
    return Pool(train if here == there else Resized(train, here), source.parts()[0], seed)


def run_of(victim: str) -> Path | None:
    """The run folder of a victim, or the one that its checkpoint lies in; None for an export or a model from elsewhere."""
    path = Path(victim)
    return next((place for place in (path, *path.parents[:2]) if jobs.job_at(place) or (place / membership.FILE).is_file()), None)


def _members(which: str, data: ImageData, victim: str, trainer: Trainer) -> Any:
    folder = run_of(victim)
    if folder is None:
        raise UserError(f"pool: nothing says whom {victim} was trained on, so there is no telling {which}: pool: train, or pool_data")
    if (folder / ANSWERS).is_file():
        raise UserError(f"pool: {victim} is itself a stolen model, so there is no telling {which}: pool: train, or pool_data")
    found = membership.read(folder)
    mine: dict[str, Any] = getattr(trainer, "config", None) or {}
    same = not mine or not (folder / "config.yaml").is_file() or images(configuration(folder)) == images(mine)
    n = len(data.sets()[0].y)
    if not same or len(found) != n:
        raise UserError(f"pool: {victim} was trained on other data than {data.name} ({n:,} inputs): pool: train, or pool_data")
    before = seen_before(folder, n) if which == "non_members" else False  # what the weights that it began with were trained on
    return found.member | before
