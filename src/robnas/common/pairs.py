"""How alike two models break, for all pairs: [M, n] bool → [M, M], NaN where it is not defined (a model that always or never breaks)."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


def jaccard(broken: ArrayLike) -> Floats:
    """# broken in both / # broken in either. Grows with success rates too; `phi` and `kappa` are 0 for independent models."""
    both, either = _counts(broken)
    return _over(both, either)


def phi(broken: ArrayLike) -> Floats:
    """Pearson's correlation of the two outcomes: (p₁₁ − p₁p₂) / √(p₁(1 − p₁) p₂(1 − p₂))."""
    hit = np.asarray(broken, dtype=np.float64)
    n = max(1, hit.shape[1])
    p = hit.sum(1) / n
    spread = np.sqrt(p * (1 - p))
    return _over(hit @ hit.T / n - np.outer(p, p), np.outer(spread, spread))


def kappa(broken: ArrayLike) -> Floats:
    """Cohen's (1960): (agreement − that of independent models) / (1 − that of independent models)."""
    hit = np.asarray(broken, dtype=np.float64)
    n = max(1, hit.shape[1])
    p = hit.sum(1) / n
    agreed = (hit @ hit.T + (1 - hit) @ (1 - hit).T) / n
    chance = np.outer(p, p) + np.outer(1 - p, 1 - p)
    return _over(agreed - chance, 1 - chance)


def _counts(broken: ArrayLike) -> tuple[Floats, Floats]:
    hit = np.asarray(broken, dtype=np.float64)
    both, size = hit @ hit.T, hit.sum(1)
    return both, size[:, None] + size[None, :] - both


def _over(a: Floats, b: Floats) -> Floats:
    return np.divide(a, b, out=np.full_like(a, np.nan), where=b > 0)
