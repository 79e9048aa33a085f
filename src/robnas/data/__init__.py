"""Images as LightningDataModules: what a step sees depends on seed, epoch and step alone. Names load on first use."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from robnas.data.base import Batch, ImageData, Images
    from robnas.data.cifar import CIFAR10, CIFAR100
    from robnas.data.digits import Digits
    from robnas.data.image_folder import ImageFolder
    from robnas.data.imagenet32 import ImageNet32
    from robnas.data.textures32 import Textures32

_HOME = {
    "Batch": "base",
    "ImageData": "base",
    "Images": "base",
    "CIFAR10": "cifar",
    "CIFAR100": "cifar",
    "Digits": "digits",
    "ImageFolder": "image_folder",
    "ImageNet32": "imagenet32",
    "Textures32": "textures32",
}

__all__ = ["CIFAR10", "CIFAR100", "Batch", "Digits", "ImageData", "ImageFolder", "ImageNet32", "Images", "Textures32"]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f"robnas.data.{_HOME[name]}"), name)
    raise AttributeError(f"module 'robnas.data' has no attribute {name!r}")
