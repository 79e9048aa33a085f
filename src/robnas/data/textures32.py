"""Textures32: synthetic images of any number, for what must not wait for real ones. No claim about real images rests on them."""

import math
from typing import Any, ClassVar

import torch
from torch import Tensor

from robnas import seeds
from robnas.data.base import ImageData, Images
from robnas.errors import require

WAVES = 3  # a class is a set of as many gratings


class Textures32(ImageData):
    """A class is a set of three gratings, by orientation and frequency; an image shows them at random places, in random colours, in noise.

    As every grating has a random phase, the mean image of each class is the same grey: no linear classifier can tell them apart, while
    convolution, rectification and pooling can.

    Args:
        num_classes: at least 2.
        n_train: images in the training set, validation included; as many of each class.
        n_test: images in the test set.
        noise: standard deviation of the pixel noise, in [0, 1].
        texture_seed: which textures these are; `seed` only shuffles them.
        settings: those of `ImageData`.
    """

    name = "Textures32 (synthetic)"
    num_classes = 10
    image_shape = (3, 32, 32)
    synthetic = True
    scales: ClassVar[dict[str, dict[str, Any]]] = {"tiny": {"n_train": 2000, "n_test": 500}}

    def __init__(
        self, num_classes: int = 10, n_train: int = 10_000, n_test: int = 2_000, noise: float = 0.1, texture_seed: int = 0, **settings: Any
    ) -> None:
        super().__init__(**settings)
        require(num_classes >= 2, f"num_classes: {num_classes} is not at least 2")
        require(n_train >= num_classes, f"n_train: {n_train} images cannot show {num_classes} classes")
        require(n_test >= 1, f"n_test: {n_test} is not at least 1")
        require(noise >= 0, f"noise: {noise} is negative")
        self.num_classes, self.n_train, self.n_test = num_classes, n_train, n_test
        self.noise, self.texture_seed = noise, texture_seed
        self.class_names = [f"texture {label}" for label in range(num_classes)]

    def content(self) -> list[Any]:
        """All that the images are computed from."""
        return [self.num_classes, self.n_train, self.n_test, self.noise, self.texture_seed]

    def load(self) -> tuple[Images, Images]:
        """Image i of a split depends on i and the texture seed alone, not on how many there are."""
        return self._images("train", self.n_train), self._images("test", self.n_test)

    def _images(self, split: str, n: int) -> Images:
        index = torch.arange(n)
        y = index % self.num_classes
        waves = wave_vectors(self.num_classes, self.texture_seed)
        chunks = zip(torch.split(index, 1_000), torch.split(y, 1_000), strict=True)
        return Images(torch.cat([textures(i, waves[label], self.noise, self.texture_seed, split) for i, label in chunks]), y)


def wave_vectors(num_classes: int, seed: int) -> Tensor:
    """[classes, WAVES, 2] in radians a pixel: wavelengths of 4 to 12 pixels, any orientation."""
    wavelength, angle = seeds.uniform(torch.arange(num_classes), (2, WAVES), seed, "textures").unbind(1)
    length = 2 * math.pi / (4 * 3**wavelength)
    return torch.stack([length * (math.pi * angle).sin(), length * (math.pi * angle).cos()], -1)


def textures(index: Tensor, waves: Tensor, noise: float, *keys: int | str) -> Tensor:
    """index: [N], waves: [N, WAVES, 2] → [N, 3, 32, 32] uint8."""
    y, x = torch.meshgrid(torch.arange(32.0), torch.arange(32.0), indexing="ij")
    phase = 2 * math.pi * seeds.uniform(index, (WAVES,), *keys, "phase")
    gratings = (waves[..., 0, None, None] * y + waves[..., 1, None, None] * x + phase[..., None, None]).sin()  # [N, WAVES, 32, 32]
    colours = seeds.normal(index, (3, WAVES), *keys, "colour")
    colours = 0.25 * colours / colours.norm(dim=(1, 2), keepdim=True).clamp_min(1e-6)
    base = 0.3 + 0.4 * seeds.uniform(index, (3,), *keys, "base")
    pixels = base[..., None, None] + torch.einsum("ncw,nwyx->ncyx", colours, gratings)
    pixels += noise * seeds.normal(index, (3, 32, 32), *keys, "noise")
    return (255 * pixels.clamp(0, 1)).round().to(torch.uint8)
