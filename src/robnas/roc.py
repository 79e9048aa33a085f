"""How well a score tells two groups apart: AUC, TPR at a FPR, balanced accuracy, each with its interval. NumPy only.

A positive has the higher score, always: an AUC below ½ is a finding, and nothing here turns it round. Scores may be ±∞, never NaN.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from robnas.errors import require
from robnas.statistics import wilson

Scores = NDArray[np.float64]


class Estimate(NamedTuple):
    """value: None where there is nothing to estimate it from; ci: interval, made by ci_method; flags: what makes the value doubtful."""

    value: float | None
    ci: tuple[float, float] | None = None
    ci_method: str | None = None
    flags: tuple[str, ...] = ()


def auc(positive: ArrayLike, negative: ArrayLike, confidence: float = 0.95) -> Estimate:
    """P(a positive's score > a negative's), ties counted half. positive: [m], negative: [n].

    Interval by the variance of DeLong, DeLong and Clarke-Pearson (1988) on the logit scale (Pepe, 2003, §5.2.4): symmetric about the AUC
    itself it holds an AUC of 0.98 of 50 + 50 scores four times in five, and always errs to the flattering side. Where there is no
    variance (groups wholly apart, one score for all, or a group of one) by Newcombe (2006), method 5.
    """
    x, y = _scores(positive), _scores(negative)
    if not (len(x) and len(y)):
        return Estimate(None)
    higher, lower = placements(x, y), 1 - placements(y, x)
    value = float(higher.mean())
    variance = float(higher.var(ddof=1) / len(x) + lower.var(ddof=1) / len(y)) if min(len(x), len(y)) > 1 else 0.0
    if variance < 1e-18:
        return Estimate(value, newcombe(value, len(x), len(y), confidence), "newcombe")
    far = math.exp(-_z(confidence) * math.sqrt(variance) / (value * (1 - value)))  # of the odds; 0 < value < 1, or nothing would vary
    return Estimate(value, (value * far / (value * far + 1 - value), value / (value + far * (1 - value))), "delong, logit")


def folded(signed: Estimate) -> Estimate:
    """max(AUC, 1 − AUC), which the authors' code reports: never below ½, so worth nothing as evidence. The interval is folded likewise."""
    if signed.value is None or signed.ci is None:
        return signed
    low, high = signed.ci
    ends = sorted((max(low, 1 - low), max(high, 1 - high)))
    return Estimate(max(signed.value, 1 - signed.value), (0.5 if low <= 0.5 <= high else ends[0], ends[1]), f"{signed.ci_method}, folded")


def placements(x: Scores, y: Scores) -> Scores:
    """[m] share of y: [n] that lies below each x, ties counted half."""
    y = np.sort(y)
    return (np.searchsorted(y, x, "left") + np.searchsorted(y, x, "right")) / (2 * len(y))


def newcombe(value: float, m: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Score interval of an AUC from its value and the groups' sizes alone (Newcombe, 2006, method 5): |Â − A| = z √V(A), with V of
    Hanley and McNeil (1982) and both sizes' mean in the place of each.
    """
    z, more = _z(confidence), (m + n) / 2 - 1

    def inside(a: float) -> bool:
        return abs(value - a) <= z * math.sqrt(a * (1 - a) * (1 + more * ((1 - a) / (2 - a) + a / (1 + a))) / (m * n))

    return _edge(inside, value, 0.0), _edge(inside, value, 1.0)


def tpr_at(positive: ArrayLike, negative: ArrayLike, fpr: float, confidence: float = 0.95, seed: int = 0) -> Estimate:
    """The largest share of positives above a threshold that no more than a share `fpr` of the negatives is above.

    Thresholds are at observed scores ("positive where score ≥ t"), so ties are never broken. The interval is a bootstrap of both groups
    (percentiles of 9,999), and no narrower than Wilson's at the threshold found, as a bootstrap of none or all sees no spread.
    With fewer than 10/fpr negatives, where 10 of them would decide, there is no number: a flag says how many are needed.
    """
    x, y = np.sort(_scores(positive)), np.sort(_scores(negative))
    require(0 < fpr <= 1, f"fpr: {fpr} is not in (0, 1]")
    need = math.ceil(10 / fpr - 1e-9)
    if len(y) < need or not len(x):
        return Estimate(None, flags=(f"refused: {len(y):,} negatives, {need:,} needed" if len(y) < need else "refused: no positives",))
    allowed = math.floor(fpr * len(y) + 1e-9)
    if allowed == len(y):
        return Estimate(1.0, (1.0, 1.0), "exact")

    def above(k: NDArray[np.int64]) -> Scores:
        """Share of positives above the (k + 1)-th largest negative."""
        return 1 - np.searchsorted(x, y[len(y) - 1 - k], "right") / len(x)

    value = float(above(np.array(allowed)))
    # Of a resample the (allowed + 1)-th largest negative is the one at a Beta-distributed place; positives above it are binomial.
    rng = np.random.default_rng(seed)
    place = np.floor(len(y) * rng.beta(allowed + 1, len(y) - allowed, 9999)).astype(np.int64)
    drawn = rng.binomial(len(x), above(np.minimum(place, len(y) - 1))) / len(x)
    low, high = np.quantile(drawn, [(1 - confidence) / 2, (1 + confidence) / 2])
    least, most = wilson(round(value * len(x)), len(x), confidence)
    return Estimate(value, (min(float(low), least), max(float(high), most)), "bootstrap, at least wilson")


def balanced_accuracy(positive: ArrayLike, negative: ArrayLike, confidence: float = 0.95) -> Estimate:
    """(TPR + TNR) / 2 at a threshold that was chosen on other inputs, so that chance gives ½ and not more.

    Every second input of each group chooses the best threshold for the others, and the other way round (see `best_threshold`); one that
    is best on the very inputs it is measured on would be optimistic. Interval: Wilson's of both rates, put together (Newcombe, 1998), as
    if both thresholds had been given.
    """
    x, y = _scores(positive), _scores(negative)
    if min(len(x), len(y)) < 2:
        return Estimate(None, flags=("refused: 2 of each group are needed",))
    hits = rejected = 0
    for half in (0, 1):
        t = best_threshold(x[half::2], y[half::2])
        hits += int((x[1 - half :: 2] >= t).sum())
        rejected += int((y[1 - half :: 2] < t).sum())
    p, q = hits / len(x), rejected / len(y)
    low, high = _around(p, wilson(hits, len(x), confidence), q, wilson(rejected, len(y), confidence))
    return Estimate((p + q) / 2, ((p + q - low) / 2, (p + q + high) / 2), "wilson of both rates")


def best_threshold(x: Scores, y: Scores) -> float:
    """The t that makes P(x ≥ t) − P(y ≥ t) largest, the least of several: half-way between two observed scores; ∞ where none is above 0."""
    t = np.unique(np.concatenate([x, y]))
    gain = np.searchsorted(np.sort(y), t, "left") / len(y) - np.searchsorted(np.sort(x), t, "left") / len(x)
    best = int(np.argmax(gain.round(12)))
    if gain[best] < 1e-12:
        return math.inf
    middle = (t[best - 1] + t[best]) / 2 if best and np.isfinite(t[best - 1 : best + 1]).all() else t[best]
    return float(middle)


def difference(hits: int, n: int, others: int, m: int, confidence: float = 0.95) -> Estimate:
    """hits/n − others/m of two independent groups, interval by Newcombe (1998), method 10."""
    if not (n and m):
        return Estimate(None)
    p, q = hits / n, others / m
    low, high = wilson(others, m, confidence)
    below, above = _around(p, wilson(hits, n, confidence), -q, (-high, -low))
    return Estimate(p - q, (p - q - below, p - q + above), "newcombe")


def _around(p: float, of_p: tuple[float, float], q: float, of_q: tuple[float, float]) -> tuple[float, float]:
    """How far an interval of p + q reaches below and above, from those of both."""
    return math.hypot(p - of_p[0], q - of_q[0]), math.hypot(of_p[1] - p, of_q[1] - q)


def _edge(inside: Callable[[float], bool], start: float, end: float) -> float:
    """The last value on the way from `start`, which is inside, to `end`."""
    for _ in range(60):
        middle = (start + end) / 2
        start, end = (middle, end) if inside(middle) else (start, middle)
    return start


def _z(confidence: float) -> float:
    require(0 < confidence < 1, f"confidence: {confidence} is not in (0, 1)")
    return NormalDist().inv_cdf((1 + confidence) / 2)


def _scores(values: Any) -> Scores:
    x = np.asarray(values, dtype=np.float64).reshape(-1)
    require(not np.isnan(x).any(), "scores: NaN among them; inputs that errored belong to no group")
    return x
