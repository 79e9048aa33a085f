"""Do models of one family differ less among each other than those of another? "Smaller variance" (Figs 2, 3 and 9) as a test."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from robnas.comparison.families import Families, Values, split
from robnas.comparison.permutation import least_exchanged
from robnas.comparison.power import too_few
from robnas.comparison.resampling import expanded, welch
from robnas.errors import require
from robnas.statistics import student_two_sided

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Spread:
    """How far models of each family are from their family's median.

    Args:
        first, second: names of the families. models: how many of each.
        deviation: of each family, the mean distance from its median, in the unit of the values.
        ratio: first by second; below 1 the first family is closer together. low, high: its interval, drawn over models. None where the
            second family does not vary at all, or there are too few models.
        f: Brown and Forsythe's (1974) statistic. p: two-sided, see `spread`; p_margin: that the ratio is `margin`. None where there are
            too few models, or models of each family are all as far from its median.
        few: why there are no numbers; "" where there are.
    """

    first: str
    second: str
    models: tuple[int, int]
    deviation: tuple[float, float] | None = None
    ratio: float | None = None
    low: float | None = None
    high: float | None = None
    f: float | None = None
    p: float | None = None
    p_margin: float | None = None
    few: str = ""


def spread(
    values: Values,
    families: Families,
    first: str = "nas",
    second: str = "manual",
    confidence: float = 0.95,
    n_resamples: int = 9999,
    seed: int = 0,
    margin: float | None = None,
) -> Spread:
    """Levene's test about medians (Brown & Forsythe, 1974): an analysis of variance of distances from the family's median.

    By itself it rejects 16 in 100 at a level of 5% where four skewed values stand against four (Beta(5, ½), an ASR near its ceiling), and
    so does any exchange of the distances. So p is the larger of it and of the jackknife of log distances (Miller, 1968), and no smaller
    than an exact test of so many models can give: that rejects 5 of these, 3 or 4 of other values; of ten against seven 1 to 3.
    It cannot see a ceiling: an ASR near 100% has no room to vary.
    """
    require(0 < confidence < 1, f"confidence: {confidence} is not in (0, 1)")
    x, y = split(values, families, first, second)
    few = too_few((first, len(x)), (second, len(y)), 1 - confidence)
    if few:
        return Spread(first, second, (len(x), len(y)), few=few)
    a, b = distances(x), distances(y)
    f, p = _analysis(a, b)[0], _larger(x, y)
    beyond = None if margin is None else _larger(x / margin, y)
    ratio = low = high = None
    if b.mean() > 0 and a.mean() > 0:
        ratio, (low, high) = float(a.mean() / b.mean()), _interval(x, y, confidence, n_resamples, seed)
    return Spread(first, second, (len(x), len(y)), (float(a.mean()), float(b.mean())), ratio, low, high, f, p, beyond)


def distances(x: Floats) -> Floats:
    """|x − median|; x: […, n], along the last axis."""
    away: Floats = np.abs(x - np.median(x, axis=-1, keepdims=True))
    return away


def _analysis(a: Floats, b: Floats) -> tuple[float | None, float | None]:
    """F and p of two groups; F = t², so that Student's distribution suffices. None where nothing varies within: 0 / 0 or ∞."""
    freedom = len(a) + len(b) - 2
    within = (((a - a.mean()) ** 2).sum() + ((b - b.mean()) ** 2).sum()) / freedom
    between = (a.mean() - b.mean()) ** 2 / (1 / len(a) + 1 / len(b))
    if within <= 1e-24 * max(1e-300, a.mean() ** 2, b.mean() ** 2):
        return None, None
    return float(between / within), student_two_sided(math.sqrt(between / within), freedom)


def _larger(x: Floats, y: Floats) -> float | None:
    """p of both tests; of the first alone where a family does not vary once a model is left out."""
    p, jackknife = _analysis(distances(x), distances(y))[1], _jackknife(x, y)
    return None if p is None else max(p, jackknife or 0.0, least_exchanged(len(x), len(y)))


def _jackknife(x: Floats, y: Floats) -> float | None:
    """Welch's test of pseudo-values n·log d − (n − 1)·log d₋ᵢ, d being the mean distance from the median, d₋ᵢ without model i."""
    groups = []
    for v in (x, y):
        every = np.array([distances(v).mean(), *(distances(np.delete(v, i)).mean() for i in range(len(v)))])
        if every.min() <= 0:
            return None
        logs = np.log(every)
        groups.append(len(v) * logs[0] - (len(v) - 1) * logs[1:])
    error, freedom = welch(*groups)
    gap = abs(float(groups[0].mean() - groups[1].mean()))
    return None if error == 0 else student_two_sided(gap / error, max(1, int(freedom)))


def _interval(x: Floats, y: Floats, confidence: float, n_resamples: int, seed: int) -> tuple[float, float]:
    """Of the ratio, on its logarithm; resamples in which a family does not vary have no ratio."""
    rng = np.random.default_rng(seed)
    a, b = (distances(v[rng.integers(0, len(v), (n_resamples, len(v)))]).mean(1) for v in (x, y))
    there = (a > 0) & (b > 0)
    low, high = expanded(np.log(a[there]) - np.log(b[there]), welch(distances(x), distances(y))[1], confidence)
    return math.exp(low), math.exp(high)
