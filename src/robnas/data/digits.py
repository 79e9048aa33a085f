"""Digits: 1,797 real handwritten digits (Alpaydin and Kaynak, 1998) that come with the package. See LICENSE.digits."""

from importlib.resources import files
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from robnas.data.base import ImageData, Images
from robnas.data.sampling import held_out
from robnas.errors import require


class Digits(ImageData):
    """Ten digits, 16×16, 1,437 to train (less validation) and 360 to test; the same 360 whatever the seed.

    With 360 test images a proportion of 50% has a 95% interval of ± 5 points: pool seeds before claiming a difference.

    Args:
        contrast: of pixels around mid-grey. At 1.0 black on white, and ε = 8/255 hardly matters; at 0.5 it separates models as it does
            on CIFAR10, so every attack keeps its published settings.
        settings: those of `ImageData`.
    """

    name = "Digits"
    num_classes = 10
    image_shape = (3, 16, 16)
    class_names = tuple("0123456789")
    flips = False  # a mirrored 2 is no 2

    def __init__(self, contrast: float = 0.5, **settings: Any) -> None:
        super().__init__(**settings)
        require(0 < contrast <= 1, f"contrast: {contrast} is not in (0, 1]")
        self.contrast, self.background = contrast, 0.5 - contrast / 2

    def content(self) -> list[Any]:
        """The contrast."""
        return [self.contrast]

    def load(self) -> tuple[Images, Images]:
        """The packaged file, split in the same way for everyone."""
        ink, y = packaged()
        test = held_out(y, 360, "digits", "test")
        x = rendered(ink, self.contrast)
        return Images(x[~test], y[~test]), Images(x[test], y[test])


def packaged() -> tuple[Tensor, Tensor]:
    """Ink [1797, 8, 8] uint8 in 0 … 16 and labels [1797] int64, as `sklearn.datasets.load_digits` has them."""
    with (files("robnas.data") / "digits.npz").open("rb") as file, np.load(file, allow_pickle=False) as arrays:
        return torch.from_numpy(arrays["images"]), torch.from_numpy(arrays["labels"]).long()


def rendered(ink: Tensor, contrast: float) -> Tensor:
    """Ink [N, 8, 8] in 0 … 16 → [N, 3, 16, 16] uint8: bilinear, three equal channels, 0.5 + contrast · (v − 0.5)."""
    v = interpolate(ink[:, None].float() / 16, size=(16, 16), mode="bilinear", align_corners=False)
    return (255 * (0.5 + contrast * (v - 0.5))).round().to(torch.uint8).repeat(1, 3, 1, 1)
