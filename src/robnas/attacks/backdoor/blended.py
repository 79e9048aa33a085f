"""Blended injection (Chen et al., 2017): a faint picture over the whole image."""

from typing import Any

import torch
from torch import nn

from robnas import seeds
from robnas.attacks.backdoor import patterns
from robnas.attacks.backdoor.base import Backdoor
from robnas.attacks.backdoor.trigger import Trigger
from robnas.data.base import ImageData
from robnas.errors import require


class Blended(Backdoor):
    """A share of the training inputs is mixed with a pattern of the image's size and gets the target class for its label.

    Args:
        pattern: "noise" (uniform, by seed) or "hello", as in their paper, there a cartoon; or an image file, which is resized.
        transparency: 1 − α of their Eq. 1; their α at training time is 0.2.
        protocol: arguments of `Backdoor`.
    """

    def __init__(self, pattern: str = "noise", transparency: float = 0.8, **protocol: Any) -> None:
        super().__init__(**protocol)
        require(0 <= transparency < 1, f"transparency: {transparency} is not in [0, 1)")
        self.pattern, self.transparency = pattern, transparency

    def trigger(self, model: nn.Module, data: ImageData) -> Trigger:
        """The whole image."""
        pattern = patterns.named(self.pattern, data.image_shape, seeds.of_run(self.seed))
        return Trigger(torch.ones(1, *data.image_shape[1:]), pattern, (0, 0), self.transparency)
