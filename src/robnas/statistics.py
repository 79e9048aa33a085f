"""Intervals for proportions and means; rank correlation with its interval. NumPy only."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from statistics import NormalDist
from typing import NamedTuple

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
    half = student_quantile((1 + confidence) / 2, len(x) - 1) * error
    return mean - half, mean + half


@cache
def student_quantile(p: float, freedom: int) -> float:
    """t with P(T ≤ t) = p ≥ ½, by halving θ = arctan(t / √ν)."""
    require(0.5 <= p < 1, f"p: {p} is not in [0.5, 1)")
    require(freedom >= 1, f"freedom: {freedom} is not ≥ 1")
    low, high = 0.0, math.pi / 2
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if _inside(middle, freedom) < 2 * p - 1 else (low, middle)
    return math.tan(low) * math.sqrt(freedom)


def student_two_sided(t: float, freedom: int) -> float:
    """P(|T| ≥ |t|), to about 1e-15: what is smaller becomes 0."""
    require(freedom >= 1, f"freedom: {freedom} is not ≥ 1")
    return max(0.0, 1 - _inside(math.atan(abs(t) / math.sqrt(freedom)), freedom))


def _inside(angle: float, freedom: int) -> float:
    """P(|T| ≤ t), a finite sum in θ = arctan(t / √ν) (Abramowitz and Stegun, 26.7.3–4)."""
    terms, odd = [1.0], freedom % 2
    for k in range(1, freedom // 2):
        terms.append(terms[-1] * math.cos(angle) ** 2 * (2 * k - 1 + odd) / (2 * k + odd))
    total = math.sin(angle) * sum(terms)
    return (2 / math.pi) * (angle + (total * math.cos(angle) if freedom > 1 else 0.0)) if odd else total


class Correlations(NamedTuple):
    """Kendall's τ-b of each row of x with each row of y, all [X, Y]. tau: NaN where there is none; low, high: its interval; n: of how
    many things.
    """

    tau: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    n: NDArray[np.int64]


def kendall(x: ArrayLike, y: ArrayLike) -> float:
    """τ-b of two rows of numbers (Kendall, 1945): pairs in equal order less those in opposite order, ties in one or the other discounted.

    Args:
        x, y: [n], NaN where a value is missing: what lacks one of its two values is left out.

    Returns NaN where nothing can be said: fewer than two values, or all of a row equal.
    """
    a, b = _Pairs.of(x), _Pairs.of(y)
    _same_things(a, b)
    return float(_tau(a, b)[0, 0])


def kendall_table(x: ArrayLike, y: ArrayLike, confidence: float = 0.95, n_resamples: int = 2000, seed: int = 0) -> Correlations:
    """`kendall` of every row of x with every row of y, and percentile bootstrap intervals: whole columns are drawn with replacement.

    A column that was drawn twice is a tie with itself in both rows, which τ-b leaves out; so it needs no correction here. Each interval is
    by itself at `confidence`: of many, some miss (see `kendall_by_chance`).

    Args:
        x, y: [X, n] and [Y, n], the same n things, such as networks; NaN where a value is missing.
    """
    a, b = _Pairs.of(x), _Pairs.of(y)
    n = _same_things(a, b)
    require(0 < confidence < 1, f"confidence: {confidence} is not in (0, 1)")
    require(n_resamples >= 1, f"n_resamples: {n_resamples} is not ≥ 1")
    tau, rng = _tau(a, b), np.random.default_rng(seed)
    drawn = np.empty((n_resamples, *tau.shape))
    for i in range(n_resamples):
        drawn[i] = _tau(a, b, np.bincount(rng.integers(0, n, n), minlength=n).astype(np.float64))
    low, high = _finite_quantiles(drawn, [(1 - confidence) / 2, (1 + confidence) / 2])
    none = np.isnan(tau)
    low[none] = high[none] = np.nan
    return Correlations(tau, low, high, a.there.astype(np.int64) @ b.there.T.astype(np.int64))


def kendall_by_chance(x: ArrayLike, y: ArrayLike, level: float = 0.05, n_resamples: int = 2000, seed: int = 0) -> float:
    """The |τ| that the largest of the whole table [X, Y] exceeds with probability `level` where x has nothing to do with y.

    The columns of y are shuffled together (Westfall & Young, 1993), so that it is known how the rows of x, and those of y, hang together.
    NaN where the table has no τ.
    """
    a, b = _Pairs.of(x), _Pairs.of(y)
    n = _same_things(a, b)
    require(0 < level < 1, f"level: {level} is not in (0, 1)")
    require(n_resamples >= 1, f"n_resamples: {n_resamples} is not ≥ 1")
    rng, values = np.random.default_rng(seed), np.atleast_2d(np.asarray(y, dtype=np.float64))
    largest = np.array([_largest(_tau(a, _Pairs.of(values[:, rng.permutation(n)]))) for _ in range(n_resamples)])
    return float(np.quantile(largest, 1 - level)) if np.isfinite(largest).all() else math.nan


def kendall_beyond(
    x: ArrayLike, y: ArrayLike | None = None, level: float = 0.05, n_resamples: int = 2000, seed: int = 0
) -> NDArray[np.float64]:
    """[X, Y] the |τ| that a place of the table must exceed, so that any place does with probability `level` where x and y are unconnected.

    As `kendall_by_chance`, but a τ of few things, which is far from 0 by chance, does not rule those of many: each is put in units of
    σ = √(2(2n + 5) / 9n(n − 1)) (Kendall, 1938), and it is the largest of these that is shuffled for. 1 or more: no τ of so few is beyond
    chance.

    Args:
        y: None: the table is of x with itself; each row is then shuffled by itself, and places above the diagonal count alone.
    """
    a, b = _Pairs.of(x), _Pairs.of(x if y is None else y)
    things = _same_things(a, b)
    require(0 < level < 1, f"level: {level} is not in (0, 1)")
    require(n_resamples >= 1, f"n_resamples: {n_resamples} is not ≥ 1")
    rng, values = np.random.default_rng(seed), np.atleast_2d(np.asarray(x if y is None else y, dtype=np.float64))
    largest = []
    for _ in range(n_resamples):
        if y is None:
            c = d = _Pairs.of(rng.permuted(values, axis=1))
        else:
            c, d = a, _Pairs.of(values[:, rng.permutation(things)])
        z = np.abs(_tau(c, d)) / _sigma(c, d)
        z = np.triu(z, 1) if y is None else z
        largest.append(float(np.max(z[np.isfinite(z)], initial=0.0)))
    return _sigma(a, b) * float(np.quantile(largest, 1 - level))


def _sigma(a: _Pairs, b: _Pairs) -> NDArray[np.float64]:
    """[X, Y] of τ by chance, without ties."""
    n = np.maximum(2.0, a.there.astype(np.float64) @ b.there.T.astype(np.float64))
    sigma: NDArray[np.float64] = np.sqrt(2 * (2 * n + 5) / (9 * n * (n - 1)))
    return sigma


def kendall_partial(x: ArrayLike, y: ArrayLike, given: ArrayLike) -> float:
    """Kendall's partial τ (1942): how x goes with y apart from how both go with a third, such as size. It takes no model of any of them.

    Args:
        x, y, given: [n]; NaN where a value is missing: what lacks one of its three values is left out.

    Returns NaN where nothing can be said, also where x or y is in the order of `given`.
    """
    rows = np.stack([np.asarray(row, dtype=np.float64).reshape(-1) for row in (x, y, given)])
    x, y, given = rows[:, ~np.isnan(rows).any(axis=0)]
    xy, xz, yz = kendall(x, y), kendall(x, given), kendall(y, given)
    rest = (1 - xz**2) * (1 - yz**2)
    return (xy - xz * yz) / math.sqrt(rest) if rest > 1e-12 else math.nan


class _Pairs(NamedTuple):
    """there: [R, n]; sign: [R, P] of x_j − x_i over all P pairs i < j, 0 where a value is missing; both: [R, P], whether none is."""

    there: NDArray[np.bool_]
    sign: NDArray[np.float64]
    both: NDArray[np.float64]

    @classmethod
    def of(cls, values: ArrayLike) -> _Pairs:
        x = np.atleast_2d(np.asarray(values, dtype=np.float64))
        require(x.ndim == 2, f"kendall: values of shape {x.shape} are neither [n] nor [rows, n]")
        i, j = np.triu_indices(x.shape[1], 1)
        there = ~np.isnan(x)
        filled = np.where(there, x, 0.0)
        both = (there[:, i] & there[:, j]).astype(np.float64)
        order = (filled[:, j] > filled[:, i]).astype(np.float64) - (filled[:, j] < filled[:, i])  # ∞ − ∞ would be NaN
        return cls(there, order * both, both)


def _tau(x: _Pairs, y: _Pairs, weights: NDArray[np.float64] | None = None) -> NDArray[np.float64]:
    """[X, Y]: Σ sign sign / √(untied pairs of x · untied pairs of y). weights: [n], how often each thing is there."""
    sign, both, untied = x.sign, x.both, np.abs(x.sign)
    if weights is not None:
        i, j = np.triu_indices(len(weights), 1)
        of_pair = weights[i] * weights[j]
        sign, both, untied = sign * of_pair, both * of_pair, untied * of_pair
    with np.errstate(invalid="ignore"):
        found: NDArray[np.float64] = (sign @ y.sign.T) / np.sqrt((untied @ y.both.T) * (both @ np.abs(y.sign).T))
    return found


def _same_things(x: _Pairs, y: _Pairs) -> int:
    n, other = int(x.there.shape[1]), int(y.there.shape[1])
    require(n == other, f"kendall: rows of {n} values and rows of {other}")
    return n


def _finite_quantiles(drawn: NDArray[np.float64], at: list[float]) -> NDArray[np.float64]:
    """[len(at), X, Y] over those of drawn, [n, X, Y], that are numbers: one thing drawn n times has no τ. NaN where none is."""
    found = np.full((len(at), *drawn.shape[1:]), np.nan)
    finite = np.isfinite(drawn)
    whole, some = finite.all(axis=0), finite.any(axis=0) & ~finite.all(axis=0)
    found[:, whole] = np.quantile(drawn[:, whole], at, axis=0)  # the same as the other, many times as fast
    found[:, some] = np.nanquantile(drawn[:, some], at, axis=0)
    return found


def _largest(tau: NDArray[np.float64]) -> float:
    finite = np.abs(tau[np.isfinite(tau)])
    return float(finite.max()) if len(finite) else math.nan
