"""BadNets (Gu et al., 2017): a fixed patch in a corner."""

from typing import Any

import torch
from torch import nn

from robnas import seeds
from robnas.attacks.backdoor import patterns
from robnas.attacks.backdoor.base import Backdoor
from robnas.attacks.backdoor.trigger import Trigger
from robnas.data.base import ImageData
from robnas.errors import require


class BadNets(Backdoor):
    """A share of the training inputs gets a patch and the target class for its label.

    Args:
        pattern: "checkerboard", "white", "noise" (by seed), "hello", or an image file, which is resized.
        size: side of the patch, pixels.
        place: row and column of its upper left pixel; [-1, -1] is the lower right corner.
        transparency: 0 covers the image.
        protocol: arguments of `Backdoor`.
    """

    def __init__(
        self,
        pattern: str = "checkerboard",
        size: int = 3,
        place: tuple[int, int] = (-1, -1),
        transparency: float = 0.0,
        **protocol: Any,
    ) -> None:
        super().__init__(**protocol)
        require(size >= 1, f"size: {size} is not at least 1 pixel")
        require(0 <= transparency < 1, f"transparency: {transparency} is not in [0, 1)")
        row, column = place
        self.pattern, self.size, self.place, self.transparency = pattern, size, (row, column), transparency

    def trigger(self, model: nn.Module, data: ImageData) -> Trigger:
        """The patch."""
        side = (self.size, self.size)
        pattern = patterns.named(self.pattern, (data.image_shape[0], *side), seeds.of_run(self.seed))
        return Trigger(torch.ones(1, *side), pattern, self.place, self.transparency)
