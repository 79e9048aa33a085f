"""The interval of a mean over seeds, and what it cannot leave."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from robnas.statistics import student

BOUNDS = {
    **dict.fromkeys(("accuracy", "clean_accuracy", "robust_accuracy", "asr", "auc", "flat", "convex", "theorem_1_broken"), (0.0, 1.0)),
    "cad": (-1.0, 1.0),
    **dict.fromkeys(("ace", "seconds"), (0.0, math.inf)),
}
"""Metric → what no value can leave."""


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


def within(low: float | None, high: float | None, bounds: tuple[float, float] | None) -> tuple[float | None, float | None]:
    """The part of an interval that values can be in; ends that are infinite are none."""
    least, most = bounds or (-math.inf, math.inf)
    ends = (None if end is None else min(max(end, least), most) for end in (low, high))
    low, high = (end if end is not None and math.isfinite(end) else None for end in ends)
    return low, high
