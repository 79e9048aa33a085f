"""Intervals for proportions and means. NumPy only."""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

from robnas.errors import require


def wilson(successes: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Score interval of a proportion (Wilson, 1927), without continuity correction. n = 0 tells nothing: (0, 1)."""
    require(0 < confidence < 1, f"confidence: {confidence} is not in (0, 1)")
    require(0 <= successes <= n, f"successes: {successes} of {n}")
    if n == 0:
        return 0.0, 1.0
    z, p = NormalDist().inv_cdf((1 + confidence) / 2), successes / n
    middle = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    # At the ends the formula gives 0 and 1 but for rounding.
    return (0.0 if successes == 0 else middle - half), (1.0 if successes == n else middle + half)


def bootstrap(
    values: ArrayLike,
    statistic: Callable[..., NDArray[np.float64]] = np.mean,
    confidence: float = 0.95,
    n_resamples: int = 9999,
    seed: int = 0,
) -> tuple[float, float]:
    """Percentile bootstrap interval (Efron, 1979) of a statistic of independent values, the mean unless told otherwise.

    Args:
        values: [n] at least one; a single value gives itself twice, as there is no spread to see.
        statistic: (values, axis=) → values, vectorised as NumPy's own.
        n_resamples: drawn with replacement; equal seeds draw equally.
    """
    x = np.asarray(values, dtype=np.float64).reshape(-1)
    require(0 < confidence < 1, f"confidence: {confidence} is not in (0, 1)")
    require(len(x) >= 1, "bootstrap: no values")
    require(n_resamples >= 1, f"n_resamples: {n_resamples} is not ≥ 1")
    rng = np.random.default_rng(seed)
    chunk = max(1, 2**20 // len(x))  # a few MB at a time
    drawn = [statistic(x[rng.integers(0, len(x), (min(chunk, n_resamples - i), len(x)))], axis=1) for i in range(0, n_resamples, chunk)]
    low, high = np.quantile(np.concatenate(drawn), [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def student(values: ArrayLike, confidence: float = 0.95) -> tuple[float, float]:
    """Interval of the mean of independent, normal values (Student, 1908). One value has no spread to see: (−∞, ∞)."""
    x = np.asarray(values, dtype=np.float64).reshape(-1)
    require(0 < confidence < 1, f"confidence: {confidence} is not in (0, 1)")
    require(len(x) >= 1, "student: no values")
    if len(x) == 1:
        return -math.inf, math.inf
    mean, error = float(x.mean()), float(x.std(ddof=1)) / math.sqrt(len(x))
    half = _student_quantile((1 + confidence) / 2, len(x) - 1) * error
    return mean - half, mean + half


def _student_quantile(p: float, freedom: int) -> float:
    """t with P(T ≤ t) = p ≥ ½, by halving θ = arctan(t / √ν): P(|T| ≤ t) is a finite sum in θ (Abramowitz and Stegun, 26.7.3–4)."""

    def inside(angle: float) -> float:
        terms, odd = [1.0], freedom % 2
        for k in range(1, freedom // 2):
            terms.append(terms[-1] * math.cos(angle) ** 2 * (2 * k - 1 + odd) / (2 * k + odd))
        total = math.sin(angle) * sum(terms)
        return (2 / math.pi) * (angle + (total * math.cos(angle) if freedom > 1 else 0.0)) if odd else total

    low, high = 0.0, math.pi / 2
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if inside(middle) < 2 * p - 1 else (low, middle)
    return math.tan(low) * math.sqrt(freedom)
