"""What a data module gives is looked at once, in the first batch that is trained on: wrong pixels train too, to nothing."""

from collections.abc import Sequence

from torch import Tensor

from robnas import collectives
from robnas.errors import UserError

ROUNDING = 1e-2
"""Pixels may be so far outside of [0, 1]: half precision, resampling."""


def look(x: Tensor, y: Tensor, image_shape: Sequence[int], num_classes: int) -> None:
    """x: [B, C, H, W]; y: [B]; image_shape: (C, H, W) as the data module says it. Every rank looks at its own share.

    Raises:
        UserError: images of another shape, pixels outside of [0, 1], labels outside of 0 … num_classes − 1; on every rank if on one.
    """
    if said := next(filter(None, collectives.gather(fault(x, y, image_shape, num_classes))), None):
        raise UserError(f"data: {said}")


def fault(x: Tensor, y: Tensor, image_shape: Sequence[int], num_classes: int) -> str | None:
    """One line, or None."""
    if list(x.shape[1:]) != list(image_shape):
        return f"images of the first batch are {list(x.shape[1:])}, but image_shape says {list(image_shape)}"
    if y.is_floating_point() or y.shape != x.shape[:1]:
        kind = str(y.dtype).removeprefix("torch.")
        return f"labels of the first batch are {kind} {list(y.shape)}; needed is one whole number for each of {len(x)} images"
    if not len(x):
        return None
    low, high = x.amin().item(), x.amax().item()
    if not (low >= -ROUNDING and high <= 1 + ROUNDING):  # so that NaN is not
        return f"pixels of the first batch are from {low:.4g} to {high:.4g}; needed are floats in [0, 1], which the model normalises itself"
    if not x.is_floating_point():
        return f"pixels of the first batch are {str(x.dtype).removeprefix('torch.')}; needed are floats in [0, 1]"
    low, high = int(y.amin()), int(y.amax())
    if low < 0 or high >= num_classes:
        return f"labels of the first batch are from {low} to {high}, but num_classes says {num_classes}: 0 … {num_classes - 1}"
    return None
