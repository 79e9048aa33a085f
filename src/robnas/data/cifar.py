"""CIFAR10 and CIFAR100 (Krizhevsky, 2009), read and checked by torchvision's classes."""

import os
import socket
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any, ClassVar
from urllib.request import urlopen

import torch
import torchvision
from torchvision.datasets.utils import check_integrity, extract_archive

from robnas.data.base import ImageData, Images
from robnas.errors import UserError

PATIENCE = 5.0  # seconds without an answer, after which there is no network


class CIFAR10(ImageData):
    """50,000 images of 10 classes to train and 10,000 to test, 32×32.

    Args:
        download: fetch the data into `root` where they are not there yet.
        settings: those of `ImageData`.
    """

    name = "CIFAR10"
    num_classes = 10
    image_shape = (3, 32, 32)
    class_names: Sequence[str] = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
    mean = (0.49139968, 0.48215841, 0.44653091)
    std = (0.24703223, 0.24348513, 0.26158784)
    source: ClassVar[type[torchvision.datasets.CIFAR10]] = torchvision.datasets.CIFAR10

    def __init__(self, download: bool = True, **settings: Any) -> None:
        super().__init__(**settings)
        self.download = download

    def prepare_data(self) -> None:
        """Fetch what is missing. UserError, in a few seconds, where it cannot be had."""
        if self._found():
            return
        if (folder := Path(self.root) / self.source.base_folder).exists():
            raise UserError(
                f"{folder}: files of {self.name} are missing or damaged (their md5 differs); remove the folder to fetch them anew"
            )
        if not self.download:
            raise self._absent("download is off")
        try:
            with _incoming(Path(self.root)) as folder, _impatient():
                archive = Path(self.root) / self.source.filename
                if check_integrity(archive, self.source.tgz_md5):
                    extract_archive(os.fspath(archive), os.fspath(folder))
                else:
                    _reach(self.source.url)
                    self.source(folder, download=True)
                (folder / self.source.base_folder).rename(Path(self.root) / self.source.base_folder)
        except Exception as error:  # whatever a network can do: no route, no name, a proxy's page, an archive cut short, a full disk
            raise self._absent(f"{type(error).__name__}: {error}".splitlines()[0]) from error

    def _found(self) -> bool:
        folder = Path(self.root) / self.source.base_folder
        return all(check_integrity(folder / file, md5) for file, md5 in self.source.train_list + self.source.test_list)

    def _absent(self, why: str) -> UserError:
        return UserError(
            f"{self.name} is not in {self.root!r} and cannot be fetched from {self.source.url} ({why}). "
            "To run on images that come with robnas, add --config digits.yaml."
        )

    def load(self) -> tuple[Images, Images]:
        """torchvision's arrays, [N, 32, 32, 3] uint8, as [N, 3, 32, 32]."""
        try:
            train, test = (self.source(self.root, train=part) for part in (True, False))
        except RuntimeError:  # not there, and no Trainer has called prepare_data
            self.prepare_data()
            train, test = (self.source(self.root, train=part) for part in (True, False))
        self.class_names = tuple(train.classes)
        return _images(train), _images(test)


class CIFAR100(CIFAR10):
    """50,000 images of 100 classes to train and 10,000 to test, 32×32."""

    name = "CIFAR100"
    num_classes = 100
    class_names = ()  # read with the data
    mean = (0.50707516, 0.48654887, 0.44091784)
    std = (0.26733429, 0.25643846, 0.27615047)
    source = torchvision.datasets.CIFAR100


def _images(source: torchvision.datasets.CIFAR10) -> Images:
    return Images(torch.from_numpy(source.data).permute(0, 3, 1, 2).contiguous(), torch.tensor(source.targets))


@contextmanager
def _incoming(root: Path) -> Iterator[Path]:
    """A folder inside `root` for what is on its way; afterwards nothing is left but what was moved out of it."""
    made = [folder for folder in (root, *root.parents) if not folder.exists()]
    root.mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.TemporaryDirectory(prefix=".incoming-", dir=root) as folder:
            yield Path(folder)
    finally:
        for empty in made:  # innermost first
            if not any(empty.iterdir()):
                empty.rmdir()


@contextmanager
def _impatient() -> Iterator[None]:
    """A connection that falls silent is given up; torchvision offers no time limit of its own."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(4 * PATIENCE)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _reach(url: str) -> None:
    """Raise unless the server answers: asked in a thread, as a look-up of its name knows no time limit."""
    outcome: list[Exception | None] = []

    def ask() -> None:
        try:
            urlopen(url, timeout=PATIENCE).close()
            outcome.append(None)
        except Exception as error:
            outcome.append(error)

    thread = Thread(target=ask, daemon=True)
    thread.start()
    thread.join(PATIENCE)
    error = outcome[0] if outcome else TimeoutError(f"no answer within {PATIENCE:.0f} s")
    if error is not None:
        raise error
