"""Two models on the same inputs: what happened to each input in one and in the other."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from robnas.errors import require
from robnas.statistics import bootstrap


@dataclass(frozen=True)
class Paired:
    """The first model less the second, on inputs that both have.

    Args:
        n: inputs. value: difference of the means. low, high: its interval, inputs drawn with replacement; None, as `p`, where n = 0.
        first_only, second_only: of yes-or-no outcomes, how many inputs only one of the models breaks on; None of other outcomes.
        p: McNemar's exact one (1947), two-sided: whether an input that breaks one model alone is as likely to be the first's. None of
            outcomes that are not yes or no.
    """

    n: int
    value: float | None = None
    low: float | None = None
    high: float | None = None
    first_only: int | None = None
    second_only: int | None = None
    p: float | None = None


def paired(first: ArrayLike, second: ArrayLike, confidence: float = 0.95, n_resamples: int = 9999, seed: int = 0) -> Paired:
    """Compare two models input by input. It is about these two trained models and inputs like these; what it says of families is nothing.

    Args:
        first, second: [n] outcomes of the same inputs in the same order (see `robnas.common.align`): bool, or numbers such as distances; an
            input that lacks one of two finite numbers is left out.
    """
    a, b = np.asarray(first), np.asarray(second)
    require(a.ndim == 1 and a.shape == b.shape, f"paired: outcomes of shapes {a.shape} and {b.shape}")
    if a.dtype == bool and b.dtype == bool:
        x, y = int((a & ~b).sum()), int((b & ~a).sum())
        if not len(a):
            return Paired(0, first_only=0, second_only=0)
        low, high = bootstrap(a.astype(np.float64) - b, np.mean, confidence, n_resamples, seed)
        return Paired(len(a), (x - y) / len(a), low, high, x, y, mcnemar(x, y))
    there = np.isfinite(a) & np.isfinite(b)
    d = a[there].astype(np.float64) - b[there]
    if not len(d):
        return Paired(0)
    return Paired(len(d), float(d.mean()), *bootstrap(d, np.mean, confidence, n_resamples, seed))


def mcnemar(first_only: int, second_only: int) -> float:
    """Two-sided p that both are as likely, by the binomial distribution with ½: twice the smaller tail, and 1 at most."""
    require(min(first_only, second_only) >= 0, f"mcnemar: {first_only} and {second_only}")
    n, k = first_only + second_only, min(first_only, second_only)
    if n == 0:
        return 1.0
    logs = [math.lgamma(n + 1) - math.lgamma(i + 1) - math.lgamma(n - i + 1) - n * math.log(2) for i in range(k + 1)]
    return min(1.0, 2 * math.fsum(map(math.exp, logs)))
