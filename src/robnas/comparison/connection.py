"""Do several measures order models alike? Remarks 2 and 3 as tests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from robnas.comparison.families import Families, Values, means
from robnas.statistics import student_two_sided

Floats = NDArray[np.float64]
ENOUGH = 6
"""Models of a family at least: of five every order has a chance of 1 in 120, but an interval of a τ of five says nothing."""

MOST = 9990
"""Shuffles."""
LEAST = 1 / (1 + MOST)
"""The smallest p."""


@dataclass(frozen=True)
class Connection:
    """Kendall's τ-b within families, averaged over pairs of measures and, by their number of models, over families.

    Args:
        models: in families that are large enough. pairs: of measures.
        value: mean τ; 0 where one order says nothing of the other. low, high: interval, models drawn with replacement within families. p:
            two-sided, by shuffles of models within families: of every measure by itself, or of all of `second` together, so that it is
            known how they hang together (Westfall & Young, 1993). p_margin: that the mean τ is `margin`, by Student's distribution and the
            standard error that resamples give. None where there are too few, and `few` then says so.
    """

    models: int
    pairs: int
    value: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    p_margin: float | None = None
    few: str = ""


def connected(
    first: Sequence[Values],
    second: Sequence[Values] | None,
    families: Families,
    confidence: float = 0.95,
    n: int = 999,
    seed: int = 0,
    margin: float | None = None,
) -> Connection:
    """How far models stand in one order by each of `first` and by each of `second`; None: by each two of `first`.

    Within families, as any two things in which families differ would be connected otherwise.

    n: resamples, and shuffles; `MOST` of these where none of n is as far.
    """
    pairs = len(first) * (len(first) - 1) // 2 if second is None else len(first) * len(second)
    rows = [means(values) for values in (*first, *(second or ()))]
    groups: list[list[str]] = []
    for family in sorted(set(families.values())):
        there = sorted({m for row in rows for m in row if families.get(m) == family})
        groups += [there] if len(there) >= ENOUGH else []
    models = sum(map(len, groups))
    if not pairs or not groups:
        why = "fewer than two measures" if not pairs else f"too few models: no family has {ENOUGH}"
        return Connection(models, pairs, few=why)
    tables = [np.array([[row.get(m, np.nan) for m in group] for row in rows]) for group in groups]
    split, rng = len(first), np.random.default_rng(seed)
    seen = float(_mean([table[None] for table in tables], split)[0])
    if not np.isfinite(seen):
        return Connection(models, pairs, few="too few models with more than one measure")
    drawn = _mean([t[:, rng.integers(0, t.shape[1], (n, t.shape[1]))].swapaxes(0, 1) for t in tables], split)
    as_far, shuffles = 0, 0
    while shuffles < MOST and not as_far:  # what none of n shuffles reaches is worth more of them, as a study corrects for many tests
        shuffled = _mean([_shuffled(t, None if second is None else split, n, rng) for t in tables], split)
        as_far += int((np.abs(shuffled) >= abs(seen) - 1e-12).sum())
        shuffles += n
    tail = (1 - confidence) / 2
    low, high = np.nanquantile(drawn, [tail, 1 - tail])  # a model drawn twice is a tie with itself, which τ-b leaves out
    p = (1 + as_far) / (1 + shuffles)
    beyond = None
    if margin is not None:
        error, freedom = float(np.nanstd(drawn)), models - len(groups)
        beyond = max(LEAST, student_two_sided((seen - margin) / error, freedom)) if error > 1e-12 else LEAST if seen != margin else 1.0
    return Connection(models, pairs, float(seen), float(low), float(high), p, beyond)


def _shuffled(table: Floats, split: int | None, n: int, rng: np.random.Generator) -> Floats:
    """[n, R, models]: every row by itself, or rows from `split` on together; what is missing moves along."""
    if split is None:
        return rng.permuted(np.broadcast_to(table, (n, *table.shape)), axis=2)
    orders = rng.permuted(np.broadcast_to(np.arange(table.shape[1]), (n, table.shape[1])), axis=1)
    first = np.broadcast_to(table[:split], (n, split, table.shape[1]))
    return np.concatenate([first, table[split:][:, orders].swapaxes(0, 1)], axis=1)


def _mean(tables: Sequence[Floats], split: int) -> Floats:
    """[D] over families, by size, of the mean τ of pairs that have one. tables: [D, R, models]; the first `split` rows are `first`."""
    found, weights = [], []
    for table in tables:
        i, j = np.triu_indices(table.shape[2], 1)
        there = np.isfinite(table)
        filled = np.where(there, table, 0.0)
        both = (there[..., i] & there[..., j]).astype(np.float64)
        sign = np.sign(filled[..., j] - filled[..., i]) * both
        tau = _tau(sign, both, split)
        known = np.isfinite(tau)
        found.append(np.where(known, tau, 0).sum(1) / np.where(known.any(1), known.sum(1), np.nan))
        weights.append(table.shape[2] * np.isfinite(found[-1]))
    with np.errstate(invalid="ignore"):
        mean: Floats = sum(np.where(w > 0, f, 0) * w for f, w in zip(found, weights, strict=True)) / sum(weights)
    return mean


def _tau(sign: Floats, both: Floats, split: int) -> Floats:
    """[D, pairs] τ-b of rows [D, R, P] below `split` with those from it on; with each other where there are none."""
    untied, alone = np.abs(sign), split == sign.shape[1]
    one, other = slice(0, split), slice(0 if alone else split, None)
    agree = sign[:, one] @ sign[:, other].swapaxes(1, 2)
    pairs = (untied[:, one] @ both[:, other].swapaxes(1, 2)) * (both[:, one] @ untied[:, other].swapaxes(1, 2))
    with np.errstate(invalid="ignore"):
        tau: Floats = agree / np.sqrt(pairs)
    return tau[(slice(None), *np.triu_indices(split, 1))] if alone else tau.reshape(len(tau), -1)
