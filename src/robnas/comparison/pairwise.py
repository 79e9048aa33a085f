"""Do models of one family break on the same inputs more than models of another? Models are the sample, inputs are not."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from robnas.comparison.families import Difference
from robnas.comparison.permutation import LIMIT, drawn_subsets, least_exchanged, subsets
from robnas.comparison.power import detected, too_few
from robnas.statistics import student_quantile, student_two_sided

Floats = NDArray[np.float64]


def alike(
    table: Floats,
    families: Sequence[str],
    first: str = "nas",
    second: str = "manual",
    confidence: float = 0.95,
    seed: int = 0,
    margin: float | None = None,
) -> Difference:
    """Mean over pairs of models of the first family less that over pairs of the second.

    A mean over pairs does not grow with the number of models, as a share of inputs that break half of a family does. Each model counts
    once: interval, error and p_margin are of the jackknife over models (Arvesen, 1969, for such means over pairs). p is the larger of that
    and of an exact one, by exchange of models between families: alone this calls families different one time in five (level 5%) which are
    as alike within, but break on inputs that have nothing to do with each other.

    Args:
        table: [N, N] how alike each two models are, such as φ of what breaks (`robnas.common.phi`); its diagonal is not read. Models that
            are like no other (NaN: they break on every input, or on none) are left out.
        families: [N] of each model.
    """
    off = np.where(np.eye(len(table), dtype=bool), 0.0, table)
    chosen = [i for family in (first, second) for i in range(len(off)) if families[i] == family]
    off = off[np.ix_(chosen, chosen)]
    there = np.isfinite(off).sum(1) > 1  # its own zero on the diagonal is one
    m = sum(families[i] == first and bool(kept) for i, kept in zip(chosen, there, strict=True))
    n = int(there.sum()) - m
    few = too_few((first, m), (second, n), 1 - confidence)
    if few:
        return Difference(first, second, (m, n), m + n, few=few)
    off = np.nan_to_num(off[np.ix_(there, there)])
    within = off[:m, :m].sum() / (m * (m - 1)), off[m:, m:].sum() / (n * (n - 1))
    (value,), (error,), (freedom,) = (found.tolist() for found in _differences(off, np.arange(m + n)[None] < m))
    half = student_quantile((1 + confidence) / 2, max(1, int(freedom))) * error
    enumerated = math.comb(m + n, m) <= LIMIT
    picks = (subsets(m + n, m) if enumerated else drawn_subsets(m + n, m, 9999, seed)).astype(np.int64)
    ones = np.zeros((len(picks), m + n), dtype=bool)
    np.put_along_axis(ones, picks, True, axis=1)
    gaps, errors, _ = _differences(off, ones)
    seen = float(_t(np.array([value]), np.array([error]))[0])
    as_far = int((_t(gaps, errors) >= seen * (1 - 1e-9)).sum())
    p = as_far / len(picks) if enumerated else (1 + as_far) / (1 + len(picks))
    student = [_student(value - at, error, freedom) for at in (0.0, margin or 0.0)]
    beyond = None if margin is None else max(least_exchanged(m, n), student[1])
    facts = Difference(
        first, second, (m, n), m + n, (float(within[0]), float(within[1])), value, value - half, value + half, max(p, student[0]), beyond
    )
    return replace(facts, error=error, freedom=freedom, detectable=detected(error, freedom, 1 - confidence))


def _differences(off: Floats, ones: NDArray[np.bool_]) -> tuple[Floats, Floats, Floats]:
    """[D] mean over pairs of ones less that over pairs of all others, its jackknife error and degrees of freedom (Welch); ones: [D, N]."""
    means, variances, sizes = [], [], []
    for side in (ones.astype(np.float64), 1.0 - ones):
        k = float(side[0].sum())
        rows = (side @ off) * side / (k - 1)  # of each model, its mean with the others of its side
        mean = rows.sum(1) / k
        away = 2 * (k - 1) / (k - 2) * (rows - mean[:, None]) * side  # pseudo-values less their mean
        means.append(mean)
        variances.append((away**2).sum(1) / (k * (k - 1)))
        sizes.append(k)
    whole: Floats = variances[0] + variances[1]
    parts = variances[0] ** 2 / (sizes[0] - 1) + variances[1] ** 2 / (sizes[1] - 1)
    freedom = np.divide(whole**2, parts, out=np.full_like(whole, sum(sizes) - 2), where=parts > 0)
    return means[0] - means[1], np.sqrt(whole), freedom


def _student(gap: float, error: float, freedom: float) -> float:
    if error < 1e-12:
        return 1.0 if abs(gap) < 1e-12 else 0.0
    return student_two_sided(gap / error, max(1, int(freedom)))


def _t(gap: Floats, error: Floats) -> Floats:
    """|t|; 0 or ∞ where nothing varies."""
    away = np.abs(gap)
    with np.errstate(divide="ignore", invalid="ignore"):
        t: Floats = np.where(away < 1e-12, 0.0, away / np.where(error < 1e-12, 0.0, error))
    return t
