"""Families compared at equal size, or at equal clean accuracy: pairs of models that are near in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from robnas.comparison.families import Families, Values, means
from robnas.comparison.permutation import flipped
from robnas.comparison.resampling import drawn_means, expanded, welch
from robnas.errors import require


@dataclass(frozen=True)
class Matched:
    """First less second over pairs of models that are alike in something else.

    Args:
        first, second: names of the families.
        pairs: (model of the first, model of the second), each model once at most. of: how many pairs the smaller family would have made.
        value: mean difference of the pairs. low, high: its interval, pairs drawn with replacement. p: by exchange within pairs
            (`flipped`). None where there are too few pairs.
        few: why there are no numbers; "" where there are.
    """

    first: str
    second: str
    pairs: tuple[tuple[str, str], ...]
    of: int
    value: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    few: str = ""


def matched(
    values: Values,
    families: Families,
    by: Mapping[str, float],
    within: float,
    first: str = "nas",
    second: str = "manual",
    confidence: float = 0.95,
    n_resamples: int = 9999,
    seed: int = 0,
) -> Matched:
    """As many pairs as there are with |by₁ − by₂| ≤ within; of those choices the one whose pairs are nearest in all.

    Nothing is extrapolated: where one family is larger than all of the other there are no pairs, and that is the answer.

    Args:
        by: model → what they are to be alike in, such as log₂ of the parameters or clean accuracy; models without one are left out.
        within: how far apart a pair may be, in the unit of `by`.
    """
    require(within >= 0, f"within: {within} is not ≥ 0")
    found = {model: value for model, value in means(values).items() if model in by and np.isfinite(by[model])}
    x, y = (sorted((m for m in found if families.get(m) == family), key=lambda m: (by[m], m)) for family in (first, second))
    pairs = tuple((x[i], y[j]) for i, j in _nearest([by[m] for m in x], [by[m] for m in y], within))
    facts = Matched(first, second, pairs, min(len(x), len(y)))
    least = 2.0 ** (1 - len(pairs))
    if least > 1 - confidence + 1e-12:
        few = f"too few models: {len(pairs)} pairs of {len(x)} {first} and {len(y)} {second} are alike; at least 6 are needed"
        return Matched(**{**vars(facts), "few": few})
    d = np.array([found[a] - found[b] for a, b in pairs])
    low, high = expanded(drawn_means(d, n_resamples, np.random.default_rng(seed)), welch(d)[1], confidence)
    return Matched(first, second, pairs, facts.of, float(d.mean()), low, high, flipped(d, seed=seed))


def _nearest(x: Sequence[float], y: Sequence[float], within: float) -> list[tuple[int, int]]:
    """Pairs (i, j) of two rising rows: most of them, then least distance. On a line, pairs need never cross; so by dynamic programming."""
    # best[i][j]: (pairs, −distance) of x[:i] and y[:j]
    best = [[(0, 0.0)] * (len(y) + 1) for _ in range(len(x) + 1)]
    for i in range(1, len(x) + 1):
        for j in range(1, len(y) + 1):
            best[i][j] = max(best[i - 1][j], best[i][j - 1], _with(best[i - 1][j - 1], abs(x[i - 1] - y[j - 1]), within))
    pairs, i, j = [], len(x), len(y)
    while i and j:
        if best[i][j] == best[i - 1][j]:
            i -= 1
        elif best[i][j] == best[i][j - 1]:
            j -= 1
        else:
            i, j = i - 1, j - 1
            pairs.append((i, j))
    return pairs[::-1]


def _with(before: tuple[int, float], distance: float, within: float) -> tuple[int, float]:
    return (before[0] + 1, before[1] - distance) if distance <= within else (-1, 0.0)
