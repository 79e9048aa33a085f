"""The interval of a mean over seeds."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from robnas.statistics import student


def of_seeds(values: Sequence[float], own: Iterable[tuple[float | None, float | None]]) -> tuple[float, float]:
    """Student's 95% interval, but never within the mean of the seeds' own intervals.

    Seeds are attacked on the same images, so what these images do to a number is in all of them: two seeds at 0% of 19 images are not
    0% of all images for sure.

    Args:
        values: of at least two seeds.
        own: (low, high) over inputs, of their rows; passed over where one of them has none.
    """
    low, high = student(values)
    ends = [(a, b) for a, b in own if a is not None and b is not None and math.isfinite(a) and math.isfinite(b)]
    if not ends:
        return low, high
    lows, highs = zip(*ends, strict=True)
    return min(low, math.fsum(lows) / len(ends)), max(high, math.fsum(highs) / len(ends))
