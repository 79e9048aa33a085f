"""The difference between two families of models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from robnas.comparison.permutation import exchanged
from robnas.comparison.power import detected, too_few
from robnas.comparison.resampling import drawn_means, expanded, welch
from robnas.errors import require

Values = Mapping[str, Sequence[float]]
"""Model → its value for each seed; NaN where a seed has none."""

Families = Mapping[str, str]
"""Model → "nas", "manual", …; models that are not in it are left out."""


@dataclass(frozen=True)
class Difference:
    """Mean of the first family less that of the second.

    Args:
        first, second: names of the families. models: how many of each. seeds: values in all, of all models.
        mean: of each family, over models; None where it has none.
        value: the difference, in the unit of the values. low, high: its interval. None, as all below, where there are too few models.
        p: that families mean nothing, two-sided, by exchange of models (`exchanged`); by itself, see `holm`.
        p_margin: likewise, that the difference is `margin`; None where there is none. Both tests go by p, so that a study may correct both.
        error, freedom: standard error of `value`, and its degrees of freedom.
        detectable: the smallest gap that so many models with such a spread would have shown by themselves, with probability 0.8.
        few: why there are no numbers, such as "too few models: 2 nas, 7 manual; …"; "" where there are.
    """

    first: str
    second: str
    models: tuple[int, int]
    seeds: int
    mean: tuple[float | None, float | None] = (None, None)
    value: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    p_margin: float | None = None
    error: float | None = None
    freedom: float | None = None
    detectable: float | None = None
    few: str = ""


def means(values: Values) -> dict[str, float]:
    """Model → mean over its seeds, those without a number left out; a model without any is left out."""
    kept = {model: [v for v in seeds if np.isfinite(v)] for model, seeds in values.items()}
    return {model: float(np.mean(v)) for model, v in kept.items() if v}


def difference(
    values: Values,
    families: Families,
    first: str = "nas",
    second: str = "manual",
    confidence: float = 0.95,
    n_resamples: int = 9999,
    seed: int = 0,
    margin: float | None = None,
) -> Difference:
    """How far the models of one family are above those of another, on average.

    A model is one draw from its family and counts once, however many seeds it was trained with; seeds are drawn along with their model. Its
    mean over seeds already varies as seeds do, so drawing them again would count their noise twice (Davison & Hinkley, 1997, §3.8).
    """
    require(0 < confidence < 1, f"confidence: {confidence} is not in (0, 1)")
    require(first != second, f"families: {first!r} twice")
    x, y = split(values, families, first, second)
    counted = sum(int(np.isfinite(values[model]).sum()) for model in values if families.get(model) in (first, second))
    mean = tuple(float(v.mean()) if len(v) else None for v in (x, y))
    facts = Difference(first, second, (len(x), len(y)), counted, (mean[0], mean[1]))
    few = too_few((first, len(x)), (second, len(y)), 1 - confidence)
    if few:
        return Difference(**{**vars(facts), "few": few})
    rng = np.random.default_rng(seed)
    drawn = drawn_means(x, n_resamples, rng) - drawn_means(y, n_resamples, rng)
    error, freedom = welch(x, y)
    low, high = expanded(drawn, freedom, confidence)
    found = {
        "value": float(x.mean() - y.mean()),
        "low": low,
        "high": high,
        "p": exchanged(x, y, seed=seed),
        "p_margin": None if margin is None else exchanged(x - margin, y, seed=seed),
        "error": error,
        "freedom": freedom,
        "detectable": detected(error, freedom, 1 - confidence),
    }
    return Difference(**{**vars(facts), **found})


def split(values: Values, families: Families, first: str, second: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Means over seeds of the models of both families, in the order of their names: results do not depend on that of the mapping."""
    found = means(values)
    x, y = (np.array([found[m] for m in sorted(found) if families.get(m) == family], dtype=np.float64) for family in (first, second))
    return x, y
