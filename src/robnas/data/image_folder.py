"""ImageFolder: anybody's own images, a folder for each class."""

import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torchvision.datasets.folder import IMG_EXTENSIONS
from torchvision.transforms.v2 import functional as transform

from robnas import collectives
from robnas.data.base import Batch, ImageData, Images
from robnas.data.sampling import ImageSet, held_out, permutation
from robnas.errors import UserError, require


class ImageFolder(ImageData):
    """Images in `root`/train/<class>/… and `root`/test/<class>/…, or in `root`/<class>/… and then split in the same way for everyone.

    Classes are numbered by name; their order and counts are printed first. Images are made RGB, their shorter side is resized to
    `image_size`, and the middle square is kept. They are decoded once, into memory, where they fit; else as they are needed: give
    `num_workers` then.

    Args:
        image_size: side in pixels.
        test: share of each class for the test set, where there is no folder `test`.
        flips: a mirrored image is of the same class (not so for text or signs).
        memory: gigabytes that the decoded images may take.
        settings: those of `ImageData`; `root` is the folder of the images.
    """

    name = "ImageFolder"

    def __init__(self, image_size: int = 32, test: float = 0.2, flips: bool = True, memory: float = 2.0, **settings: Any) -> None:
        super().__init__(**settings)
        require(image_size >= 8, f"image_size: {image_size} is not at least 8")
        require(0 < test < 1, f"test: {test} is not in (0, 1)")
        self.image_size, self.test, self.flips, self.memory = image_size, test, flips, memory
        self.image_shape = (3, image_size, image_size)

    @cached_property
    def files(self) -> tuple["Files", "Files"]:
        """Training and test files; nothing is decoded. UserError where there are no images or fewer than two classes."""
        root = Path(self.root)
        require(root.is_dir(), f"root: {self.root!r} is not a folder")
        if (root / "train").is_dir() != (root / "test").is_dir():
            raise UserError(f"root: {self.root!r} has only one of train/ and test/; give both, or a folder for each class")
        if (root / "train").is_dir():
            names = _classes(root / "train")
            if extra := sorted(set(_classes(root / "test")) - set(names)):
                raise UserError(f"{root / 'test'}: there are no training images of {', '.join(extra)}")
            return self._listed(root / "train", names), self._listed(root / "test", names).mixed()
        everything = self._listed(root, _classes(root))
        mask = held_out(everything.y, max(round(self.test * len(everything)), 1), "image folder", "test")
        return everything.subset(~mask), everything.subset(mask).mixed()

    def _listed(self, folder: Path, names: list[str]) -> "Files":
        paths = [path for name in names for path in _images(folder / name)]
        labels = [label for label, name in enumerate(names) for _ in _images(folder / name)]
        require(bool(paths), f"{folder}: no images ({', '.join(IMG_EXTENSIONS)}) in its folders")
        require(len(names) >= 2, f"{folder}: images of {len(names)} class ({', '.join(names)}); at least 2 are needed")
        return Files(paths, torch.tensor(labels), names, self.image_size)

    @property
    def class_names(self) -> Sequence[str]:  # type: ignore[override]
        """Names of the folders, sorted."""
        return self.files[0].names

    @property
    def num_classes(self) -> int:  # type: ignore[override]
        """Number of folders with images."""
        return len(self.class_names)

    @cached_property
    def bytes_digest(self) -> str:
        """Of every file's name, label and bytes, in order."""
        total = blake2b(digest_size=16)
        for files in self.files:
            for path, label in zip(files.paths, files.y.tolist(), strict=True):
                total.update(f"{path.name} {label} {path.stat().st_size} ".encode() + path.read_bytes())
            total.update(b"|")
        return total.hexdigest()

    def content(self) -> list[Any]:
        """Size and the digest of the files, split as they are."""
        return [self.image_size, self.bytes_digest]

    def prepare_data(self) -> None:
        """Say which class is which number, and how many images there are of it."""
        train, test = self.files
        if collectives.rank() == 0:
            print(f"{self.name} {self.root}: {len(train)} images to train (validation included), {len(test)} to test")
            for label, name in enumerate(train.names):
                print(f"  class {label}: {name} ({int((train.y == label).sum())} to train, {int((test.y == label).sum())} to test)")

    def load(self) -> tuple[ImageSet, ImageSet]:
        """Decoded, if they fit into `memory`."""
        train, test = self.files
        fits = (len(train) + len(test)) * 3 * self.image_size**2 <= self.memory * 1e9
        return (train.decoded(), test.decoded()) if fits else (train, test)


class Files:
    """Images that are still files; decoded when indexed.

    Args:
        paths: of the images.
        y: [N] int64.
        names: of the classes.
        size: side in pixels after resizing.
    """

    def __init__(self, paths: list[Path], y: Tensor, names: list[str], size: int) -> None:
        self.paths, self.y, self.names, self.size = paths, y, names, size

    def __len__(self) -> int:
        return len(self.paths)

    def __getitems__(self, index: Tensor) -> Batch:
        """index: [B] → x: [B, 3, size, size] uint8."""
        return Batch(torch.stack([decode(self.paths[i], self.size) for i in index.tolist()]), self.y[index], index)

    def subset(self, mask: Tensor) -> "Files":
        """Those where mask: [N] is True."""
        return Files([path for path, keep in zip(self.paths, mask.tolist(), strict=True) if keep], self.y[mask], self.names, self.size)

    def mixed(self) -> "Files":
        """In a fixed order, the same for every seed, in which the classes do not stand apart: the first n are a fair sample."""
        order = permutation(len(self), "image folder", "order")
        return Files([self.paths[i] for i in order.tolist()], self.y[order], self.names, self.size)

    def decoded(self) -> Images:
        """All of them in memory."""
        x = torch.empty(len(self), 3, self.size, self.size, dtype=torch.uint8)
        with ThreadPoolExecutor(min(os.cpu_count() or 1, 8)) as pool:
            for i, image in enumerate(pool.map(lambda path: decode(path, self.size), self.paths)):
                x[i] = image
        return Images(x, self.y)


def decode(path: Path, size: int) -> Tensor:
    """[3, size, size] uint8: RGB, the shorter side resized to `size`, the middle square. UserError names a file that cannot be read."""
    try:
        with Image.open(path) as image:
            pixels = transform.pil_to_tensor(image.convert("RGBA" if "transparency" in image.info else "RGB").convert("RGB"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise UserError(f"{path}: not a readable image ({error})") from error
    square: Tensor = transform.center_crop(transform.resize(pixels, [size], antialias=True), [size, size])
    return square


def _classes(folder: Path) -> list[str]:
    """Sub-folders that hold images, sorted by name."""
    return sorted(sub.name for sub in folder.iterdir() if sub.is_dir() and any(True for _ in _images(sub)))


def _images(folder: Path) -> Iterable[Path]:
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in IMG_EXTENSIONS and path.is_file())
