"""What a loss contour says in numbers, so that "flatter" is a figure and not an impression (Fig. 11). NumPy only."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from robnas.errors import require

Array = NDArray[np.float64]


def steps(radius: float, points: int) -> Array:
    """α (and β) of the grid: [points] from −radius to radius, 0 exactly in the middle. Raises UserError: points even or below 3."""
    require(radius > 0, f"radius: {radius} is not positive")
    require(points >= 3 and points % 2 == 1, f"points: {points} is not an odd number ≥ 3, so that the middle is the model itself")
    half = np.linspace(0.0, radius, points // 2 + 1)
    return np.concatenate([-half[:0:-1], half])


def numbers(gamma: ArrayLike, grid: ArrayLike, level: float) -> dict[str, Array]:
    """Read off Γ(α, β). gamma: [..., R, R] nats, grid: [R] equally spaced → numbers by name, [...] each.

    rise: mean over the grid of Γ − Γ(0, 0), in nats.
    flat: share of the grid where Γ ≤ Γ(0, 0) + level: how much of the picture lies inside that contour.
    curvature: mean of ∂²Γ/∂α² and ∂²Γ/∂β² at the middle, by central differences: exact for a quadratic loss.
    lipschitz: the largest |eigenvalue| of the 2 × 2 Hessian of Γ at any inner point. It bounds the Lipschitz constant of ∇Γ from below,
        up to what lies between points.
    convex: share of inner points where that Hessian has no negative eigenvalue (but for rounding).
    """
    z, at = np.asarray(gamma, dtype=np.float64), np.asarray(grid, dtype=np.float64)
    middle, h = len(at) // 2, float(at[1] - at[0])
    with np.errstate(invalid="ignore", over="ignore"):  # a loss may overflow far out; what depends on it is then not finite
        rise = z - z[..., middle : middle + 1, middle : middle + 1]
        low, high = _eigenvalues(z, h)
        largest = np.maximum(np.abs(low), np.abs(high))
        aa = z[..., middle + 1, middle] + z[..., middle - 1, middle] - 2 * z[..., middle, middle]
        bb = z[..., middle, middle + 1] + z[..., middle, middle - 1] - 2 * z[..., middle, middle]
        rounding = 1e-6 * np.nanmax(np.where(np.isfinite(z), np.abs(z), 0.0), axis=(-2, -1), keepdims=True) / h**2
        return {
            "rise": rise.mean((-2, -1)),
            "flat": (rise <= level).mean((-2, -1)),
            "curvature": (aa + bb) / (2 * h**2),
            "lipschitz": largest.max((-2, -1)),
            "convex": (low >= -rounding).mean((-2, -1)),
        }


def _eigenvalues(z: Array, h: float) -> tuple[Array, Array]:
    """Of the Hessian at inner points, by central differences. z: [..., R, R] → lower and higher, [..., R − 2, R − 2] each."""
    here = z[..., 1:-1, 1:-1]
    aa = (z[..., 2:, 1:-1] + z[..., :-2, 1:-1] - 2 * here) / h**2
    bb = (z[..., 1:-1, 2:] + z[..., 1:-1, :-2] - 2 * here) / h**2
    ab = (z[..., 2:, 2:] + z[..., :-2, :-2] - z[..., 2:, :-2] - z[..., :-2, 2:]) / (4 * h**2)
    mean, apart = (aa + bb) / 2, np.hypot((aa - bb) / 2, ab)
    return mean - apart, mean + apart
