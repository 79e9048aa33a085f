"""Images as LightningDataModules: what a step sees depends on seed, epoch and step alone. Names load on first use."""

from typing import TYPE_CHECKING

from robnas import lazy

if TYPE_CHECKING:
    from robnas.data.base import Batch, ImageData, Images
    from robnas.data.cifar import CIFAR10, CIFAR100
    from robnas.data.digits import Digits
    from robnas.data.image_folder import ImageFolder
    from robnas.data.imagenet32 import ImageNet32
    from robnas.data.textures32 import Textures32

__all__ = ["CIFAR10", "CIFAR100", "Batch", "Digits", "ImageData", "ImageFolder", "ImageNet32", "Images", "Textures32"]
__getattr__ = lazy.names(
    __name__,
    {
        "base": "Batch ImageData Images",
        "cifar": "CIFAR10 CIFAR100",
        "digits": "Digits",
        "image_folder": "ImageFolder",
        "imagenet32": "ImageNet32",
        "textures32": "Textures32",
    },
)
