"""Which model is most vulnerable, where that can be said: models that are nearer than what could be told apart share their places."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from robnas.comparison.families import Values, means
from robnas.statistics import student_quantile


@dataclass(frozen=True)
class Place:
    """A model among others. value: its mean over seeds. best, worst: the places it may have, 1 being the highest value; `best` is 1 + the
    models that are higher by more than the gap, `worst` counts all but those lower by more than it.
    """

    model: str
    value: float
    best: int
    worst: int

    def __str__(self) -> str:
        """Such as "3" or "2–5"."""
        return str(self.best) if self.best == self.worst else f"{self.best}–{self.worst}"


def places(values: Values, gap: float | None = None, errors: Mapping[str, float] | None = None) -> list[Place]:
    """Models, the highest value first, with the places they may have.

    Args:
        gap: below it two models are tied; None: the smallest difference of two models that could be told from noise (`gap_of`). Where
            nothing is known of noise all are tied.
        errors: model → standard error of its mean, as the intervals of rows give it, for models of one seed.
    """
    found = means(values)
    size = len(found)
    far = gap if gap is not None else gap_of(values, errors)
    order = sorted(found, key=lambda m: (-found[m], m))
    value = np.array([found[m] for m in order])
    above = (value[None] - value[:, None] > far).sum(1)
    below = (value[:, None] - value[None] > far).sum(1)
    return [Place(m, found[m], 1 + int(above[i]), size - int(below[i])) for i, m in enumerate(order)]


def gap_of(values: Values, errors: Mapping[str, float] | None = None, level: float = 0.05, power: float = 0.8) -> float:
    """The smallest difference of two models that a test at `level` finds with probability `power`: (t_{1−α/2} + t_power) · √2 · standard
    error, from the spread of seeds, pooled over models; else from `errors`; ∞ where neither is known.
    """
    seeds = [np.array([v for v in row if np.isfinite(v)], dtype=np.float64) for row in values.values()]
    freedom = sum(len(row) - 1 for row in seeds if len(row) > 1)
    if freedom:
        variance = sum(float(((row - row.mean()) ** 2).sum()) for row in seeds if len(row) > 1) / freedom
        error = math.sqrt(variance * float(np.mean([1 / len(row) for row in seeds if len(row)])))
        return (student_quantile(1 - level / 2, freedom) + student_quantile(power, freedom)) * math.sqrt(2) * error
    known = [errors[m] for m in values if m in errors] if errors else []
    if len(known) < len(values) or not known:
        return math.inf
    normal = NormalDist()
    return (normal.inv_cdf(1 - level / 2) + normal.inv_cdf(power)) * math.sqrt(2 * float(np.mean(np.square(known))))
