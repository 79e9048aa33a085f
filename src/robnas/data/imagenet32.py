"""ImageNet32 (Chrabaszcz et al., 2017): the official downsampled files, of which §3.1 takes 60 classes."""

import contextlib
import os
import pickle
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch

from robnas.data.base import ImageData, Images
from robnas.errors import UserError, require

TRAIN = tuple(f"train_data_batch_{i}" for i in range(1, 11))
TEST = "val_data"


class ImageNet32(ImageData):
    """ImageNet at 32×32; the labelled validation files are the test set. The first classes in the files' own order: label − 1 < 60.

    The files are under ImageNet's licence and are obtained by hand. The chosen classes are written once beside them, as they are a
    sixteenth of what has to be read to find them.

    Args:
        num_classes: how many of the first classes.
        settings: those of `ImageData`; the files are looked for in `root`/imagenet32.
    """

    name = "ImageNet32"
    num_classes = 60
    image_shape = (3, 32, 32)

    def __init__(self, num_classes: int = 60, **settings: Any) -> None:
        super().__init__(**settings)
        require(2 <= num_classes <= 1000, f"num_classes: {num_classes} is not in 2 … 1000")
        self.num_classes = num_classes
        self.class_names = [str(label) for label in range(1, num_classes + 1)]  # the files name no classes

    def content(self) -> list[Any]:
        """The number of classes."""
        return [self.num_classes]

    @property
    def folder(self) -> Path:
        """Where the files are."""
        return Path(self.root) / "imagenet32"

    @property
    def excerpt(self) -> Path:
        """The chosen classes, written by `prepare_data`."""
        return self.folder / f"first_{self.num_classes}_classes.npz"

    def prepare_data(self) -> None:
        """Write the excerpt if it is not there. UserError where the official files are not."""
        if self.excerpt.exists():
            return
        train, test = self._read()
        with contextlib.suppress(OSError):  # a folder that may not be written to: every start reads the official files
            half = self.excerpt.with_suffix(f".{os.getpid()}.part")
            try:
                with half.open("wb") as file:
                    np.savez(file, train_x=train.x.numpy(), train_y=train.y.numpy(), test_x=test.x.numpy(), test_y=test.y.numpy())
                half.replace(self.excerpt)
            finally:
                half.unlink(missing_ok=True)

    def load(self) -> tuple[Images, Images]:
        """From the excerpt, or else from the official files."""
        if not self.excerpt.exists():
            return self._read()
        with np.load(self.excerpt, allow_pickle=False) as arrays:
            tensors = {k: torch.from_numpy(arrays[k]) for k in ("train_x", "train_y", "test_x", "test_y")}
        return Images(tensors["train_x"], tensors["train_y"]), Images(tensors["test_x"], tensors["test_y"])

    def _read(self) -> tuple[Images, Images]:
        if missing := [name for name in (*TRAIN, TEST) if not (self.folder / name).is_file()]:
            raise UserError(
                f"ImageNet32: put the official files train_data_batch_1 … train_data_batch_10 and val_data into {str(self.folder)!r} "
                f"(missing: {', '.join(missing)}); they are obtained by hand, under its licence, from image-net.org/download-images. "
                "To run on images that come with robnas, add --config digits.yaml."
            )
        parts = [first_classes(self.folder / name, self.num_classes) for name in TRAIN]
        train = Images(torch.cat([part.x for part in parts]), torch.cat([part.y for part in parts]))
        return train, first_classes(self.folder / TEST, self.num_classes)


def first_classes(path: Path, num_classes: int) -> Images:
    """One official file {"data": [N, 3072] uint8, "labels": [N] in 1 … 1000} → its images of labels 1 … num_classes, relabelled from 0."""
    try:
        with path.open("rb") as file:
            content = ArraysOnly(file, encoding="latin1").load()
        x, y = np.asarray(content["data"], dtype=np.uint8), np.asarray(content["labels"], dtype=np.int64) - 1
        chosen = y < num_classes
        return Images(torch.from_numpy(x[chosen].reshape(-1, 3, 32, 32)), torch.from_numpy(y[chosen]))
    except Exception as error:  # a foreign file can be wrong in any way
        raise UserError(f"{path}: not an official ImageNet32 file ({type(error).__name__}: {error})") from error


class ArraysOnly(pickle.Unpickler):
    """Builds NumPy arrays of numbers from a foreign pickle, and nothing else: no name in the file can call anything."""

    def __init__(self, file: BinaryIO, *, encoding: str) -> None:
        super().__init__(file, encoding=encoding)

    def find_class(self, module: str, name: str) -> Any:
        """What NumPy's pickles of any version refer to."""
        match module.replace("numpy._core", "numpy.core"), name:
            case "numpy", "ndarray":
                return np.ndarray
            case "numpy", "dtype":
                return np.dtype
            case "numpy.core.multiarray", "_reconstruct" | "scalar" as function:
                return (np.empty(0) if function == "_reconstruct" else np.int64(0)).__reduce__()[0]
            case "numpy.core.numeric", "_frombuffer":
                return _frombuffer
            case "_codecs", "encode":  # how protocol 2 spells bytes
                return _encode
        raise pickle.UnpicklingError(f"it asks for {module}.{name}, and arrays need no such thing")


def _frombuffer(buffer: Any, dtype: Any, shape: tuple[int, ...], order: Any) -> Any:
    return np.frombuffer(buffer, dtype=dtype).reshape(shape, order=order)


def _encode(text: str, encoding: str) -> bytes:
    return text.encode(encoding)
