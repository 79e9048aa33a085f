"""What could have been found: the smallest gap that so few models show, and how many models it takes to show anything."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from robnas.comparison.permutation import least_exchanged
from robnas.comparison.resampling import welch
from robnas.statistics import student_quantile


def detectable(
    x: Sequence[float] | NDArray[np.float64], y: Sequence[float] | NDArray[np.float64], level: float = 0.05, power: float = 0.8
) -> float:
    """The gap between means that a two-sided test at `level` finds with probability `power`, spreads being those seen.

    (t_{1−α/2} + t_power) standard errors (Bloom, 1995). x, y: two values or more each; in their own unit.
    """
    return detected(*welch(x, y), level, power)


def detected(error: float, freedom: float, level: float = 0.05, power: float = 0.8) -> float:
    """The same of a standard error and its degrees of freedom."""
    whole = max(1, int(freedom))
    return (student_quantile(1 - level / 2, whole) + student_quantile(power, whole)) * error


def too_few(first: tuple[str, int], second: tuple[str, int], level: float = 0.05) -> str:
    """Why two families of so many models cannot be compared, or "": three of each, and as many as a p of `level` takes."""
    said = f"too few models: {first[1]} {first[0]}, {second[1]} {second[0]}"
    if min(first[1], second[1]) < 3:
        return f"{said}; at least 3 of each are needed"
    least = least_exchanged(first[1], second[1])
    return f"{said}; no p below {least:.2g} is possible" if least > level else ""


def models_needed(level: float) -> int:
    """Of each of two families, so that an exact test can give a p of `level` at all: 4 for 0.05."""
    return next(n for n in range(3, 1000) if least_exchanged(n, n) <= level)
