"""Exact tests by exchange of labels (Fisher, 1935; Pitman, 1937): every exchange where there are few, else some drawn at random."""

from __future__ import annotations

import itertools
import math
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from robnas.errors import require

Floats = NDArray[np.float64]
LIMIT = 50_000
"""Exchanges that are enumerated; 18 models in two halves have 48,620."""


def exchanged(x: ArrayLike, y: ArrayLike, limit: int = LIMIT, draws: int = 9999, seed: int = 0) -> float:
    """Two-sided p that the labels of x: [m] and y: [n] mean nothing, by |t| of Welch (1947).

    Exact if both come from one distribution, and nearly so where only their means agree (Janssen, 1997); by the plain difference of means
    ten values that vary half as much as seven others were called different in 9 of 100 draws at a level of 5%.
    Beyond `limit` exchanges `draws` are drawn, and what was seen counts as one of them (Phipson & Smyth, 2010): p is never 0.
    """
    a, b = _finite(x), _finite(y)
    require(len(a) > 0 and len(b) > 0, "exchanged: no values")
    both, m, n = np.concatenate([a, b]), len(a), len(a) + len(b)
    both = both - both.mean()
    both /= max(float(np.abs(both).max()), 1e-300)  # what is rounding, is then known
    if np.ptp(both) < 1e-12:
        return 1.0
    enumerated = math.comb(n, m) <= limit
    ones = both[subsets(n, m) if enumerated else drawn_subsets(n, m, draws, seed)]
    total, squares = float(both.sum()), float((both**2).sum())
    return _share(_welch(ones, n - m, total, squares), float(_welch(both[None, :m], n - m, total, squares)[0]), enumerated)


def _welch(ones: Floats, others: int, total: float, squares: float) -> Floats:
    """|t| of ones: [draws, m] against all others, whose number is `others`; all together sum to `total`, their squares to `squares`.

    One value has no variance of its own; where nothing varies within, t is 0 or ∞ as the means agree or not.
    """
    m, sums, square = ones.shape[1], ones.sum(1), (ones**2).sum(1)
    rest, rest_square = total - sums, squares - square
    gap = np.abs(sums / m - rest / others)
    variance = (square - sums**2 / m) / max(1, m - 1) / m + (rest_square - rest**2 / others) / max(1, others - 1) / others
    with np.errstate(divide="ignore"):
        t: Floats = np.where(gap < 1e-12, 0.0, gap / np.sqrt(np.where(variance < 1e-14, 0.0, variance)))
    return t


def flipped(d: ArrayLike, limit: int = LIMIT, draws: int = 9999, seed: int = 0) -> float:
    """Two-sided p that the differences d: [n] of pairs are as likely to have the other sign, by |mean d|."""
    x = _finite(d)
    require(len(x) > 0, "flipped: no values")
    enumerated = 2 ** len(x) <= limit
    if enumerated:
        signs = 1.0 - 2.0 * ((np.arange(2 ** len(x))[:, None] >> np.arange(len(x))) & 1)
    else:
        signs = np.random.default_rng(seed).choice([-1.0, 1.0], (draws, len(x)))
    x = x / max(float(np.abs(x).max()), 1e-300)
    return _share(np.abs(signs @ x), abs(float(x.sum())), enumerated)


def least_exchanged(m: int, n: int) -> float:
    """The smallest p that `exchanged` can give m and n values: of one exchange, or of two where m = n and both may change their names."""
    return (2 if m == n else 1) / math.comb(m + n, m)


def _share(others: Floats, seen: float, enumerated: bool) -> float:
    """Of those at least as far as what was seen; what differs by rounding alone is a tie."""
    as_far = int((others >= seen * (1 - 1e-9) - 1e-12).sum())
    return as_far / len(others) if enumerated else (1 + as_far) / (1 + len(others))


@lru_cache(maxsize=8)
def subsets(n: int, m: int) -> NDArray[np.int8]:
    """[C(n, m), m] every choice of m of n."""
    flat = itertools.chain.from_iterable(itertools.combinations(range(n), m))
    return np.fromiter(flat, dtype=np.int8, count=math.comb(n, m) * m).reshape(-1, m)


def drawn_subsets(n: int, m: int, draws: int, seed: int) -> NDArray[np.int64]:
    """[draws, m] choices of m of n, each as likely."""
    return np.random.default_rng(seed).permuted(np.broadcast_to(np.arange(n), (draws, n)), axis=1)[:, :m]


def _finite(values: ArrayLike) -> Floats:
    x = np.asarray(values, dtype=np.float64).reshape(-1)
    require(bool(np.isfinite(x).all()), "a test by exchange needs finite values")
    return x
