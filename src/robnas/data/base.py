"""What every data set shares: splits, order, augmentation, and the way of an image from memory to the device."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, ClassVar

import torch
from lightning.pytorch import LightningDataModule
from lightning.pytorch.trainer.states import TrainerStatus
from lightning.pytorch.utilities import CombinedLoader
from torch import Tensor

from robnas import seeds
from robnas.data import augmentation, membership
from robnas.data.batch import Batch
from robnas.data.sampling import GlobalBatches, ImageSet, Loader, held_out
from robnas.errors import require

__all__ = ["Batch", "ImageData", "Images"]


@dataclass(frozen=True)
class Images:
    """A data set in memory. x: [N, C, H, W] uint8, y: [N] int64."""

    x: Tensor
    y: Tensor

    def __len__(self) -> int:
        return len(self.y)

    def __getitems__(self, index: Tensor) -> Batch:
        """index: [B] int64."""
        return Batch(self.x[index], self.y[index], index)


class ImageData(LightningDataModule):
    """Base of all data sets; a subclass says what its images are (`name`, `num_classes`, `image_shape`, …) and gives them in `load`.

    A LightningModule with `data_split = "halves"` trains on two disjoint halves of the whole training set at once (search); any other on
    the training set less its validation part; both halves are augmented, unless it has `augments = ("train",)`. Nothing is ever taken from
    the test set. While a Trainer runs, batches travel as uint8 and
    become floats in [0, 1], augmented in training, on the device; loaders made outside of a run give floats, as they are, to one process.

    Args:
        root: folder under which data are looked for and put.
        batch_size: inputs of one step over all ranks together; each rank takes its share.
        seed: of order, augmentation, validation part and halves, never of what the test set is; that of `seed_everything` if not given.
        validation: share of the training set that is held out of training, each class in proportion.
        num_workers: processes that fetch ahead; data in memory need none.
        augment: in training, padded crop, horizontal flip (where it means the same) and cutout.
        cutout: side of the square as a share of the image's; 0: none.
        members: share of the training set, less its validation part, that is trained on at all; a search halves this share.
        members_seed: of which these are; `seed` if not given. With `seed` fixed, runs of other members share order and validation part.
    """

    name: str
    num_classes: int
    image_shape: tuple[int, int, int]  # C, H, W
    class_names: Sequence[str]
    mean: tuple[float, ...] = ()  # per channel, of the training set; computed in `setup` where not stated
    std: tuple[float, ...] = ()
    synthetic: bool = False
    flips: bool = True  # a mirrored image is of the same class
    background: float = 0.0  # what a padded crop moves in from outside, in [0, 1]
    scales: ClassVar[dict[str, dict[str, Any]]] = {}

    def __init__(
        self,
        root: str = "data",
        batch_size: int = 64,
        seed: int | None = None,
        validation: float = 0.1,
        num_workers: int = 0,
        augment: bool = True,
        cutout: float = 0.5,
        members: float = 1.0,
        members_seed: int | None = None,
    ) -> None:
        super().__init__()
        require(batch_size >= 1, f"batch_size: {batch_size} is not at least 1")
        require(0 <= validation < 1, f"validation: {validation} is not in [0, 1)")
        require(num_workers >= 0, f"num_workers: {num_workers} is negative")
        require(0 <= cutout <= 1, f"cutout: {cutout} is not in [0, 1]")
        require(0 < members <= 1, f"members: {members} is not in (0, 1]")
        self.root, self.batch_size, self.seed, self.validation = root, batch_size, seeds.of_run(seed), validation
        self.num_workers, self.augment, self.cutout = num_workers, augment, cutout
        self.members, self.members_seed = members, self.seed if members_seed is None else members_seed
        self.train_set: ImageSet | None = None
        self.test_set: ImageSet | None = None
        self._drawn: tuple[ImageSet, Tensor] | None = None

    # What a subclass gives

    def load(self) -> tuple[ImageSet, ImageSet]:
        """→ training set, test set. Called once, on every rank, after `prepare_data` has run on one."""
        raise NotImplementedError

    def content(self) -> list[Any]:
        """What decides which images these are, beside the class: cheap, plain values, known before any image is read."""
        return []

    # Splits

    def setup(self, stage: str | None = None) -> None:
        """Read the images, once. Needs no Trainer. A `fit` begins with the clean training set, whatever the one before was trained on."""
        if self.train_set is None:
            self.train_set, self.test_set = self.load()
            if not self.mean:
                self.mean, self.std = channel_statistics(self.train_set)
        if stage == "fit":
            self._drawn = None
        if stage == "fit" and self._running and not self.val_dataloader():
            self.trainer.limit_val_batches = 0  # type: ignore[union-attr]  # else Lightning warns of an empty loader

    def sets(self) -> tuple[ImageSet, ImageSet]:
        """Training and test set; read if they have not been."""
        self.setup()
        assert self.train_set is not None
        assert self.test_set is not None
        return self.train_set, self.test_set

    def parts(self) -> tuple[Tensor, Tensor]:
        """Indices into the training set: what is trained on, and what is held out to validate."""
        y = self.sets()[0].y
        mask = held_out(y, round(self.validation * len(y)), self.seed, "validation")
        return self._members((~mask).nonzero()[:, 0]), mask.nonzero()[:, 0]

    def halves(self) -> tuple[Tensor, Tensor]:
        """Indices into the whole training set: two disjoint halves, equally long (of an odd number one input is left out)."""
        pool = self._members(torch.arange(len(self.sets()[0].y)))
        half = len(pool) // 2
        mask = held_out(self.sets()[0].y[pool], half, self.seed, "halves")
        return pool[~mask][:half], pool[mask]

    def _members(self, pool: Tensor) -> Tensor:
        return membership.draw(pool, self.members, len(self.sets()[0].y), self.members_seed)

    def membership(self) -> Tensor:
        """[N] uint8 over the training set: what `robnas.data.membership` calls MEMBER, NON_MEMBER and VALIDATION."""
        n = len(self.sets()[0].y)
        if self._in_halves:
            return membership.status(n, torch.cat(self.halves()), torch.empty(0, dtype=torch.int64))
        return membership.status(n, *self.parts())

    def train_on(self, images: ImageSet, indices: Tensor) -> None:
        """From now on training draws `indices` of `images`: what an attack, or a defence, has made of the training set.

        Splits are those of the clean set, and validation and test data stay clean; so do `sets`, `parts` and `membership`.
        """
        self._drawn = images, indices

    def trained_on(self) -> tuple[ImageSet, Tensor]:
        """What training draws from, and which of it."""
        return self._drawn or (self.sets()[0], self.parts()[0])

    # Loaders

    @property
    def _running(self) -> bool:
        return self.trainer is not None and self.trainer.state.status == TrainerStatus.RUNNING

    @property
    def _in_halves(self) -> bool:
        return self._running and getattr(self.trainer.lightning_module, "data_split", None) == "halves"  # type: ignore[union-attr]

    def loader(self, images: ImageSet, indices: Tensor, *keys: int | str) -> Loader:
        """Batches of `images[indices]` for this rank: shuffled anew in every epoch if there are keys, else in order."""
        ranks = {"rank": self.trainer.global_rank, "world_size": self.trainer.world_size} if self._running else {}  # type: ignore[union-attr]
        batches = GlobalBatches(indices, self.batch_size, *keys, **ranks)
        return Loader(images, batches, self.num_workers, finish=None if self._running else as_float)

    def train_dataloader(self) -> Loader | CombinedLoader:
        """One loader, or {"train": …, "valid": …} over the two halves for a search."""
        if self._in_halves:
            images = self.sets()[0]
            first, second = self.halves()
            loaders = {
                "train": self.loader(images, first, self.seed, "train"),
                "valid": self.loader(images, second, self.seed, "valid"),
            }
            return CombinedLoader(loaders, "max_size_cycle")
        return self.loader(*self.trained_on(), self.seed, "train")

    def val_dataloader(self) -> Loader | list[Any]:
        """The part held out (for a search its second half), un-augmented and in order; nothing if nothing is held out."""
        indices = self.halves()[1] if self._in_halves else self.parts()[1]
        return self.loader(self.sets()[0], indices) if len(indices) else []

    def test_dataloader(self) -> Loader:
        """The test set, un-augmented and in order."""
        images = self.sets()[1]
        return self.loader(images, torch.arange(len(images.y)))

    def predict_dataloader(self) -> Loader:
        """The test set, as `test_dataloader`."""
        return self.test_dataloader()

    # On the device

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        """uint8 → float in [0, 1] in the model's precision, augmented while training."""
        trainer = self.trainer
        module = trainer and trainer.lightning_module
        dtype, augments = getattr(module, "dtype", torch.float32), getattr(module, "augments", None)

        def on_device(batch: Any, half: str = "train") -> Any:
            if isinstance(batch, dict):
                return {half: on_device(b, half) for half, b in batch.items()}
            if not isinstance(batch, Batch):
                return batch
            if self.augment and trainer is not None and trainer.training and (augments is None or half in augments):
                return self.augmented(batch, trainer.current_epoch, dtype)
            return as_float(batch, dtype)

        return on_device(batch)

    def augmented(self, batch: Batch, epoch: int, dtype: torch.dtype = torch.float32) -> Batch:
        """x: uint8 → float. A function of (seed, epoch, index) for each input, whatever else is in the batch."""
        x, y, index = batch
        side = min(x.shape[2:])
        x = augmentation.crop(x, index, side // 8, round(255 * self.background), self.seed, "crop", epoch)  # 4 pixels of 32
        if self.flips:
            x = augmentation.flip(x, index, self.seed, "flip", epoch)
        x = as_float(Batch(x, y, index), dtype).x
        if self.cutout:
            mean = torch.tensor(self.mean, dtype=dtype, device=x.device)
            x = augmentation.cutout(x, index, round(self.cutout * side), mean, self.seed, "cutout", epoch)
        return Batch(x, y, index)

    # What these data are

    def fingerprint(self) -> str:
        """Short digest of which images these are, for a job's identity. Reads no more than `content` does."""
        return blake2b(repr((type(self).__name__, self.content())).encode(), digest_size=8).hexdigest()

    def describe(self) -> dict[str, Any]:
        """Name, classes, counts, shape, synthetic or not, digest of the pixels and labels: plain values, for rows and reports."""
        train, test = self.sets()
        kept, held = self.parts()
        return {
            "name": self.name,
            "num_classes": self.num_classes,
            "class_names": list(self.class_names),
            "counts": {"train": len(kept), "validation": len(held), "test": len(test.y)},
            "image_shape": list(self.image_shape),
            "synthetic": self.synthetic,
            "digest": digest(train, test) or self.fingerprint(),
        }


def as_float(batch: Batch, dtype: torch.dtype = torch.float32) -> Batch:
    """uint8 0 … 255 → float in [0, 1]; floats stay as they are."""
    return batch._replace(x=batch.x.to(dtype) / 255) if batch.x.dtype == torch.uint8 else batch


def sample(images: ImageSet, most: int = 20_000, chunk: int = 1_000) -> Iterator[Tensor]:
    """x: [≤ chunk, C, H, W] uint8 of `most` images at even distances, or of all if there are no more."""
    n = len(images.y)
    for index in torch.split(torch.arange(min(n, most)) * n // min(n, most), chunk):
        yield images.__getitems__(index).x


def channel_statistics(images: ImageSet) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation per channel in [0, 1], of up to 20,000 images; exact sums of integers, so equal on every machine."""
    n, first, second = 0, torch.tensor(0), torch.tensor(0)
    for x in sample(images):
        pixels = x.transpose(0, 1).flatten(1).long()  # [C, pixels]
        n, first, second = n + pixels.shape[1], first + pixels.sum(1), second + pixels.square().sum(1)
    mean = first.double() / n
    std = (second.double() / n - mean.square()).sqrt().clamp_min(1e-3 * 255)  # a constant channel is not divided by zero
    return tuple((mean / 255).tolist()), tuple((std / 255).tolist())


def digest(*sets: ImageSet) -> str | None:
    """Of everything in memory; None where images are still files."""
    total = blake2b(digest_size=8)
    for images in sets:
        if not isinstance(images, Images):
            return None
        for part in (images.x, images.y):
            total.update(repr(tuple(part.shape)).encode())
            total.update(part.contiguous().numpy().data)
    return total.hexdigest()
