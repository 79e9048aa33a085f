"""Masking checks: what must hold between the evasions of one victim, unless its gradients mislead the attacks (Athalye et al., 2018, §3.1;
Carlini et al., 2019, §4.3 and §5). Torch-free: rows and their outcomes per input are all it needs.

| check     | held against                                                        | flag                   |
|-----------|---------------------------------------------------------------------|------------------------|
| eps       | the same attack at a smaller ε                                      | falls with eps         |
| unbounded | 100%: the same white-box attack where every image is allowed        | below 100% unbounded   |
| steps     | the same attack with fewer steps, restarts, queries or targets      | falls with steps       |
| black box | score and label attacks in the same ball, HopSkipJump's too         | weaker than black box  |
| noise     | random images of the same ball                                      | no better than noise   |

What a flag is on is too low a success rate. A contradiction is judged input by input, on inputs that both attacked: if both were equally
strong, each input that only one of them broke would be as likely to be either's (McNemar, exact, one-sided); p < 0.01 is a flag. Two checks
have more: *unbounded* needs no test, one input that stands is a flag, on all rows of that attack with the same effort; *noise* flags a
white box also where it is not significantly stronger, if noise broke 5 inputs or more and left 10 or more. (Of a black box with few queries
that would say little: it is flagged where noise is significantly stronger.)

Not held against anything: rows of an ensemble's later members, which get what others left; *eps* and *steps*: nested sweeps, whose curve
cannot fall; inputs that the model has wrong before any attack (`only_correct: false`), as whatever is tried breaks them, noise too; rows
whose labels disagree: their inputs are not the same. `Row.checks` names the checks that were made. An absent flag without its check is no
pass.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import product
from math import inf, isclose, isinf, isnan, nan
from pathlib import PurePath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robnas.results import Row

FLAGS = {
    "eps": "falls with eps",
    "unbounded": "below 100% unbounded",
    "steps": "falls with steps",
    "black box": "weaker than black box",
    "noise": "no better than noise",
}
"""Check → what a row says that does not pass it."""
LEVEL = 0.01
"""Of each comparison alone: whoever makes hundreds of them expects some flags by chance, but equal attacks seldom differ on 7 inputs."""
EFFORT = ("steps", "n_restarts", "n_queries", "n_targets")
"""Arguments that can only help when they grow."""
_APART = {"eps", "step_size", "max_inputs", "only_correct", "inputs", "control", "after", "nested", *EFFORT}

Finding = dict[str, Any]
"""against: name of the other attack; n: inputs that both attacked; worse, better: broken by the other alone, by this one alone; p: see
above. Of *unbounded*: n, and `standing`. flagged: whether this row is too low. Of several comparisons the most telling."""


@dataclass(frozen=True)
class Trial:
    """One evasion of a victim. index, broken, distance, label: [n], of the inputs that were right, were attacked and did not err."""

    row: Row
    index: NDArray[np.int64]
    broken: NDArray[np.bool_]
    distance: NDArray[np.float64]
    label: NDArray[np.int64] | None = None

    @classmethod
    def of(cls, row: Row, outcomes: Mapping[str, NDArray[Any]]) -> Trial:
        """From what is kept of each input."""
        counted = outcomes["eligible"] & outcomes["correct"] & ~outcomes["errored"]
        return cls(row, *(outcomes[k][counted] for k in ("index", "success", "distance", "label")))

    @property
    def eps(self) -> float:
        """ε; ∞ where there is no ball."""
        return number(self.row.params.get("eps", inf))

    @property
    def nearest(self) -> bool:
        """Whether it looks for the nearest image, in no ball."""
        return isinf(self.eps) and self.row.access != "white"

    @property
    def unbounded(self) -> bool:
        """Whether it follows gradients and its ball holds every image."""
        return everywhere(self.row)

    @property
    def nested(self) -> bool:
        """Whether what a smaller ball broke was taken over."""
        return bool(self.row.params.get("nested"))

    @property
    def aim(self) -> tuple[Any, ...]:
        """What counts as a success."""
        return self.row.norm, self.row.params.get("goal"), self.row.params.get("confidence", 0)

    @property
    def settings(self) -> tuple[Any, ...]:
        """The attack itself, less ball and effort."""
        return self.aim, self.row.plugin, {k: v for k, v in self.row.params.items() if k not in _APART}

    @property
    def effort(self) -> tuple[Any, ...]:
        """In all that can only help."""
        return tuple(number(self.row.params.get(name) or 0) for name in EFFORT)

    def within(self, eps: float) -> NDArray[np.bool_]:
        """[n] broken inside a ball; a nearest image may lie on its border but for rounding."""
        return self.broken & (self.distance <= eps * (1 + 1e-6)) if self.nearest else self.broken


def judge(trials: Iterable[Trial]) -> dict[str, dict[str, Finding]]:
    """Trials of one victim, data set and attack seed → `Row.key` of each: check → finding."""
    group = list(trials)
    found: dict[str, dict[str, Finding]] = {trial.row.key: {} for trial in group}

    def enter(trial: Trial, check: str, finding: Finding) -> None:
        mine = found[trial.row.key]
        mine[check] = min(mine.get(check, finding), finding, key=lambda f: (not f["flagged"], f.get("p", 0)))

    for strong, weak in product(group, group):
        if strong.unbounded and (weak.settings, weak.effort) == (strong.settings, strong.effort) and len(strong.index):
            standing = int((~strong.broken).sum())
            enter(weak, "unbounded", {"n": len(strong.index), "standing": standing, "flagged": standing > 0})
        for check in (check for check, related in RELATED.items() if strong is not weak and related(strong, weak)):
            if finding := compare(check, strong, weak):
                enter(strong, check, finding)
                if check in ("eps", "steps"):  # it was made of both, but is no fault of the weaker
                    mirrored = {"against": block(strong.row), "worse": finding["better"], "better": finding["worse"], "flagged": False}
                    enter(weak, check, finding | mirrored)
    return found


def compare(check: str, strong: Trial, weak: Trial) -> Finding | None:
    """None where they have no input in common, or another label for one."""
    _, a, b = np.intersect1d(strong.index, weak.index, assume_unique=True, return_indices=True)
    if not len(a) or (strong.label is not None and weak.label is not None and (strong.label[a] != weak.label[b]).any()):
        return None
    eps = min(strong.eps, weak.eps) if check in ("black box", "noise") else inf
    ours, theirs = strong.within(eps)[a], weak.within(eps)[b]
    worse, better = int((theirs & ~ours).sum()), int((ours & ~theirs).sum())
    p = mcnemar(worse, better)
    flagged = p < LEVEL
    if check == "noise":
        telling = strong.row.access == "white" and theirs.sum() >= 5 and (~theirs).sum() >= 10
        flagged = flagged or bool(telling and mcnemar(better, worse) >= LEVEL)
    return {"against": block(weak.row), "n": len(a), "worse": worse, "better": better, "p": float(f"{p:.3g}"), "flagged": flagged}


def _larger_eps(strong: Trial, weak: Trial) -> bool:
    """The same attack in a larger ball, with the same step size or with one that grew as the ball did."""
    if strong.settings != weak.settings or strong.effort != weak.effort or strong.nested or weak.nested or not weak.eps < strong.eps:
        return False
    a, b = (number(trial.row.params.get("step_size")) for trial in (strong, weak))
    return isnan(a) or isnan(b) or a == b or isinf(strong.eps) or isclose(a * weak.eps, b * strong.eps, rel_tol=1e-6)


def _more_steps(strong: Trial, weak: Trial) -> bool:
    """The same attack in the same ball with no less of anything, and more of something."""
    same = strong.settings == weak.settings and _same_ball(strong, weak) and not (strong.nested or weak.nested or strong.nearest)
    same = same and strong.row.params.get("step_size") == weak.row.params.get("step_size")
    return same and strong.effort != weak.effort and all(a >= b for a, b in zip(strong.effort, weak.effort, strict=True))


def _white_and_black(strong: Trial, weak: Trial) -> bool:
    """A white box, and scores or labels in the same ball; or the nearest image by labels."""
    black = weak.row.access != "white" and weak.row.plugin != "noise"
    return strong.row.access == "white" and black and strong.aim == weak.aim and (weak.nearest or _same_ball(strong, weak))


def _attack_and_noise(strong: Trial, weak: Trial) -> bool:
    """Any attack, and noise in the same ball; or the nearest image, and noise in any."""
    attack = strong.row.plugin != "noise" and weak.row.plugin == "noise"
    return attack and strong.aim == weak.aim and (strong.nearest or _same_ball(strong, weak))


def _same_ball(a: Trial, b: Trial) -> bool:
    return isclose(a.eps, b.eps, rel_tol=1e-6)


RELATED: dict[str, Callable[[Trial, Trial], bool]] = {
    "eps": _larger_eps,
    "steps": _more_steps,
    "black box": _white_and_black,
    "noise": _attack_and_noise,
}
"""Check → whether one trial must break at least what another does."""


def mcnemar(worse: int, better: int) -> float:
    """P(at least `worse` of worse + better), each as likely as not (McNemar, 1947, exact and one-sided)."""
    n = worse + better
    logs = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, n + 1)))])  # log k!
    k = np.arange(worse, n + 1)
    return min(1.0, float(np.exp(logs[n] - logs[k] - logs[n - k] - n * np.log(2)).sum()))


def everywhere(row: Row) -> bool:
    """Of a white box, whether its ball holds every image. In L2 that depends on the image, so ∞ alone counts."""
    return row.access == "white" and number(row.params.get("eps", inf)) >= (1 if row.norm == "linf" else inf)


def number(value: Any) -> float:
    """Of a row's params, which are whatever an attack was given: "inf" is ∞, and what is no number is NaN."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return nan


def block(row: Row) -> str:
    """Of a config, the block that asked for the attack ("pgd_most"), which its file is called by; else its control or plug-in."""
    return PurePath(row.outcomes).stem.rpartition("-")[0] if row.outcomes else row.params.get("control") or row.plugin
