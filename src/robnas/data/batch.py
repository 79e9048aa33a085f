"""What a step is given."""

from typing import NamedTuple

from torch import Tensor


class Batch(NamedTuple):
    """Images, labels, and the data set's own number of each image within its split.

    On the device and outside a Trainer x is float in [0, 1]; on its way there it is uint8.
    """

    x: Tensor  # [B, C, H, W]
    y: Tensor  # [B] int64
    index: Tensor  # type: ignore[assignment]  # [B] int64; hides tuple.index, which nobody needs here
