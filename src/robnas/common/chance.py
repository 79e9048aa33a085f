"""How many models an input would break if models broke independently of each other, and how far from that it is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from robnas.errors import require

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


def poisson_binomial(p: Sequence[float] | Floats) -> Floats:
    """P(K = k), k = 0 … M, of a sum of M independent events of probabilities p; by convolution, nothing is approximated."""
    chances = np.asarray(p, dtype=np.float64)
    require(bool(((chances >= 0) & (chances <= 1)).all()), f"p: {list(p)} are no probabilities")
    out = np.ones(1)
    for q in chances:
        out = np.convolve(out, [1 - q, q])
    return out


def permuted(hits: Sequence[int] | Ints, n: int, draws: int, seed: int = 0) -> Ints:
    """What the histogram of K becomes where the inputs of each model are permuted, each model for itself: [draws, M + 1].

    hits: [M] how many of the n inputs each model breaks on. Nothing is permuted: the inputs that a model breaks on are a random subset of
    n, so from each bar of the histogram of the models before it a hypergeometric number moves up by one. The same distribution, at a cost
    that does not depend on n.
    """
    require(all(0 <= h <= n for h in hits), f"hits: {list(hits)} of {n}")
    rng = np.random.default_rng(seed)
    counts = np.zeros((draws, len(hits) + 1), dtype=np.int64)
    counts[:, 0] = n
    for m, h in enumerate(hits):
        others, wanted = np.full(draws, n), np.full(draws, h)
        moved = np.zeros_like(counts)
        for k in range(m + 1):
            others -= counts[:, k]
            moved[:, k] = rng.hypergeometric(counts[:, k], others, wanted)
            wanted -= moved[:, k]
        counts -= moved
        counts[:, 1:] += moved[:, :-1]
    return counts


class Excess(NamedTuple):
    """How much more alike models break than they would independently.

    Attributes:
        ratio: Var(K) / Σ pₘ(1 − pₘ), K being the number of models that an input breaks: 1 for independent models, more where they break on
            the same inputs, less where they avoid each other's. It is 1 + the sum of all covariances over the sum of all variances, so M
            equal models have M. None where fewer than two models' outcomes vary: there is nothing that could go together.
        ci: 95% percentile bootstrap over inputs, models held fixed.
        p: of a permutation test against independence, one-sided (more alike); inputs are permuted within each model.
    """

    ratio: float | None
    ci: tuple[float, float] | None
    p: float | None


def excess(broken: ArrayLike, draws: int = 9999, seed: int = 0) -> Excess:
    """broken: [M, n] bool, model m broke on input i. draws: of permutations, and of resamples; equal seeds draw equally."""
    hit = np.asarray(broken, dtype=bool)
    m, n = hit.shape
    hits = hit.sum(1)
    if ((hits > 0) & (hits < n)).sum() < 2:
        return Excess(None, None, None)
    k = np.arange(m + 1)
    seen = np.bincount(hit.sum(0), minlength=m + 1)
    ratio = float(_ratio(seen @ k**2 / n, hits / n))
    # ΣK² decides: n and ΣK are the same for every permutation. Whole numbers, so a tie is a tie.
    as_alike = int((permuted(hits, n, draws, seed) @ k**2 >= seen @ k**2).sum())
    with np.errstate(invalid="ignore"):
        resampled = np.concatenate([_ratio(square, p) for square, p in _resamples(hit, draws, seed)])
    low, high = np.nanquantile(resampled, [0.025, 0.975])
    return Excess(ratio, (float(low), float(high)), (1 + as_alike) / (1 + draws))


def _ratio(square: ArrayLike, p: Floats) -> Floats:
    """square: […] mean of K²; p: [… , M] shares → Var(K) / Σ p(1 − p); NaN where nothing varies."""
    return np.asarray((square - p.sum(-1) ** 2) / (p * (1 - p)).sum(-1))


def _resamples(hit: Bools, draws: int, seed: int) -> Iterator[tuple[Floats, Floats]]:
    """(mean of K² [b], shares [b, M]) of inputs drawn with replacement, a few MB at a time: equal inputs are drawn together."""
    patterns, counts = np.unique(hit.T, axis=0, return_counts=True)
    values, n = patterns.astype(np.float64), hit.shape[1]
    rng, chunk = np.random.default_rng([seed, 1]), max(1, 2**20 // len(counts))
    for i in range(0, draws, chunk):
        weights = rng.multinomial(n, counts / n, size=min(chunk, draws - i)) / n
        yield weights @ values.sum(1) ** 2, weights @ values
