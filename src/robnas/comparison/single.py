"""One family against a number: do its models, on average, lie above it?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from robnas.comparison.families import Values, means
from robnas.comparison.permutation import flipped
from robnas.comparison.resampling import drawn_means, expanded, welch
from robnas.errors import require


@dataclass(frozen=True)
class Single:
    """models: how many. mean: over them. value: mean − at. low, high: its interval, models drawn with replacement. p: two-sided, that they
    are as likely to be as far on the other side (`flipped`); p_margin: likewise of `margin` in place of 0. None where there are too few,
    and `few` then says so.
    """

    models: int
    mean: float | None = None
    value: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    p_margin: float | None = None
    few: str = ""


def against(
    values: Values, at: float, confidence: float = 0.95, n_resamples: int = 9999, seed: int = 0, margin: float | None = None
) -> Single:
    """Whether models differ from `at` to one side. Six models are needed: of five all on one side p is 0.06."""
    require(0 < confidence < 1, f"confidence: {confidence} is not in (0, 1)")
    found = means(values)
    d = np.array([found[model] - at for model in sorted(found)])
    mean = float(d.mean()) + at if len(d) else None
    if 2.0 ** (1 - len(d)) > 1 - confidence + 1e-12:
        return Single(len(d), mean, few=f"too few models: {len(d)}; at least 6 are needed")
    low, high = expanded(drawn_means(d, n_resamples, np.random.default_rng(seed)), welch(d)[1], confidence)
    beyond = None if margin is None else flipped(d - margin, seed=seed)
    return Single(len(d), mean, float(d.mean()), low, high, flipped(d, seed=seed), beyond)
