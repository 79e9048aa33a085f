"""Evasion: an input of the test set is moved inside a ball until the model fails on it (§2.2, Eq. 5)."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from math import inf, isnan
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from robnas.attacks import norms
from robnas.attacks.callback import Attack, Outcomes
from robnas.attacks.goal import GOALS, Goal
from robnas.attacks.result import EvasionResult
from robnas.attacks.state import State
from robnas.attacks.victim import Victim
from robnas.errors import UserError, require, unknown
from robnas.metrics import AttackSuccessRate, RobustAccuracy

__all__ = ["Attack", "Evasion", "EvasionResult", "State"]

ACCESS = ("white", "score", "label")


def batches(x: Tensor, y: Tensor | None, index: Tensor | None, size: int) -> Iterator[tuple[Tensor, Tensor | None, Tensor]]:
    """Inputs, labels and numbers a few at a time, at least once. Raises UserError where they do not fit together."""
    require(x.ndim >= 2, f"x: shape {list(x.shape)}; [N, C, H, W] is needed")
    require(y is None or len(y) == len(x), f"y: {0 if y is None else len(y)} labels for {len(x)} inputs")
    index = torch.arange(len(x)) if index is None else index
    for i in range(0, max(1, len(x)), size):
        rows = slice(i, i + size)
        yield x[rows], None if y is None else y[rows], index[rows]


@dataclass(frozen=True)
class Inputs:
    """Some inputs before an attack. x: [B, C, H, W] in [0, 1]; y: [B] labels; index: [B] their numbers; clean: [B, m] logits of x."""

    x: Tensor
    y: Tensor
    index: Tensor
    clean: Tensor


class Evasion(Attack):
    """The author writes `start` and `step` (or a whole `run`) on a State; the rest is done here.

    Every argument of an attack's `__init__` is kept as an attribute of the same name: it goes into the results that way.

    Args:
        eps: radius ε of the ball, in pixels of [0, 1]; ∞ for attacks that look for the nearest image.
        steps: iterations of a run.
        n_restarts: runs in all; each later run takes only the inputs that still resist.
        goal: "untargeted", "most_likely" (the second class, c₂) or "least_likely" (the last class, c_m).
        max_inputs: of a data set, those with the first so many indices are considered, the same for all models; None: all.
        only_correct: attack only what the model gets right. The paper does not say; its authors' code does so.
        eot: passes that each answer of the model is the mean of (Athalye et al., 2018), all of them queries; more than 1 only for a model
            that is random by itself. What was found is judged on one more draw, as each of its answers will be.
    """

    access: ClassVar[str] = "white"
    """"white" (logits and gradients), "score" (probabilities) or "label": what `step` is given to ask."""
    norm: str = "linf"
    """"linf" or "l2": what ε and distances are measured in. An attack that knows both sets it before it calls this `__init__`."""

    def __init__(
        self,
        eps: float = 8 / 255,
        steps: int = 1,
        n_restarts: int = 1,
        goal: str = "untargeted",
        max_inputs: int | None = 1000,
        only_correct: bool = True,
        eot: int = 1,
    ) -> None:
        super().__init__()
        self.eps, self.steps, self.n_restarts, self.goal = eps, steps, n_restarts, goal
        self.max_inputs, self.only_correct, self.eot = max_inputs, only_correct, eot
        self.check()

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        if name in ("eps", "step_size"):  # authors set these themselves, after the base has been built
            require(isinstance(value, int | float) and not isnan(value), f"{name}: {value} is not a distance ≥ 0, in pixels of [0, 1]")
            require(value >= 0, f"{name}: {value} is negative; a distance ≥ 0 is needed, in pixels of [0, 1]")
            whole = f"{name}: {value:g} is more than a whole pixel range [0, 1]; did you mean {value:g}/255?"
            require(name != "eps" or self.norm != "linf" or value <= 1 or value == inf, whole)

    def check(self) -> None:
        """Raise UserError for an argument out of range."""
        for name in ("steps", "n_restarts", "max_inputs", "eot"):
            value = getattr(self, name)
            every = name == "max_inputs" and value is None
            require(every or (isinstance(value, int) and value >= 1), f"{name}: {value} is not a whole number ≥ 1")
        if self.norm not in norms.NORMS:
            raise unknown("norm", str(self.norm), norms.NORMS)
        if self.goal not in GOALS:
            raise unknown("goal", str(self.goal), GOALS)
        if self.access not in ACCESS:
            raise unknown("access", self.access, ACCESS)

    # What the author writes

    def start(self, s: State) -> Tensor:
        """x_0: [B, C, H, W], the clean inputs unless the attack says otherwise. May set up tensors of its own on `s`."""
        return s.x

    def step(self, victim: Any, s: State) -> Tensor:
        """s.x_t → x_{t+1} of the inputs that still stand. May let some leave (`s.leave`), with x_t as what was found.

        victim: `WhiteBox` or `BlackBox`, as `access` says.
        """
        raise NotImplementedError(f"{type(self).__name__} needs `step` or `run`")

    def losses(self, goal: Goal, logits: Tensor) -> Tensor:
        """What a white-box attack raises, ℓ of Eq. 15: logits [B, m] → [B], each of its own row alone. The loss of the goal here.

        An adaptive attack (Tramèr et al., 2020) overrides this: what gradients are of, and what tells which image is better.
        """
        return goal.losses(logits)

    def wanted(self, clean: Tensor, y: Tensor) -> Goal:
        """What is wanted of each input, and what success is judged by. clean: [B, m] logits of the inputs themselves, y: [B] labels."""
        return Goal.of(self.goal, clean, y)

    def runs(self, classes: int) -> int:
        """How many runs there are at most, for a model with so many classes."""
        return self.n_restarts

    def aim(self, goal: Goal, clean: Tensor, run: int) -> Goal:
        """What one run is after, if not the goal itself. goal, clean: [B, m], of the inputs of that run; run: its number."""
        return goal

    def run(self, victim: Any, s: State) -> None:
        """One run from x_0; at the end `s.x_t` is judged, and what left on the way."""
        s.x_t = self.start(s)
        for s.t in range(self.steps):
            s.x_t = self.step(victim, s)
            if not len(s):
                return

    def project(self, x_t: Tensor, x: Tensor) -> Tensor:
        """Π of Eq. 15: back into [0, 1] and to within ε of x, in the attack's norm. [B, C, H, W] each."""
        return norms.project(x_t, x, self.eps, self.norm)

    def uniform_in_ball(self, s: State) -> Tensor:
        """A point drawn uniformly from the ball around each input, then cut to [0, 1]: [B, C, H, W]."""
        radius = self.reach(s.x)
        if self.norm == "l2":
            return self.project(s.x + norms.in_ball(s.normal(), s.uniform(shape=()), radius), s.x)
        return self.project(s.x + s.uniform(-radius, radius), s.x)

    def reach(self, x: Tensor) -> float:
        """ε, or the radius from which on the ball around an image holds all images."""
        return min(float(self.eps), 1.0 if self.norm == "linf" else math.prod(x.shape[1:]) ** 0.5)

    def distance(self, a: Tensor, b: Tensor) -> Tensor:
        """[B, C, H, W] each → [B], in the attack's norm and in pixels of [0, 1]."""
        return norms.distance(a, b, self.norm)

    # What the author need not know

    def proportions(self, outcomes: Outcomes) -> dict[str, tuple[int, int]]:
        """ASR (Eq. 9), with robust and clean accuracy beside it."""
        o = {k: torch.from_numpy(outcomes[k]) for k in ("success", "eligible", "errored", "robust", "correct")}
        asr, robust, clean = AttackSuccessRate(), RobustAccuracy(), RobustAccuracy()
        asr.update(o["success"], o["eligible"], o["errored"])
        robust.update(o["robust"], o["errored"])
        clean.update(o["correct"], o["errored"] & ~o["eligible"])  # before the attack: what errored in it alone did have an answer
        return {k: (int(m.hits), int(m.counted)) for k, m in {"asr": asr, "robust_accuracy": robust, "clean_accuracy": clean}.items()}

    def __call__(
        self,
        model: nn.Module | Victim,
        x: Tensor,
        y: Tensor | None = None,
        index: Tensor | None = None,
        seed: int = 0,
        batch_size: int = 256,
    ) -> EvasionResult:
        """Attack some inputs.

        Args:
            model: pixels in [0, 1] → logits; it is copied and left as it was. A prepared `Victim` saves the copying.
            x: [N, C, H, W] in [0, 1].
            y: [N] labels; the model's own predictions where absent.
            index: [N] names of the inputs: an input's random numbers depend on (index, seed) alone. 0, 1, … where absent.
            seed: of the random numbers.
            batch_size: inputs that are computed at once; no result depends on it.

        Raises:
            UserError: pixels outside [0, 1], or a model that does not answer with logits.
        """
        self.check()
        with torch.inference_mode(False), torch.no_grad():
            victim = self.prepare(model)
            parts = []
            for some in batches(x, y, index, batch_size):
                begin = time.perf_counter()
                inputs = self.look(victim, *some)
                r = self.before(inputs)
                self.pursue(victim, inputs, r, seed)
                r = r.to(x.device)
                r.seconds = time.perf_counter() - begin
                parts.append(r)
            return EvasionResult.cat(parts)

    def look(self, victim: Victim, x: Tensor, y: Tensor | None, index: Tensor) -> Inputs:
        """Some inputs where the victim is, with what it says of them before any attack. Raises UserError for labels it does not have."""
        x = victim.take(x)
        index = index.detach().to(x.device, copy=True)
        clean = victim.judge(x if len(x) else x.new_zeros(1, *x.shape[1:]))[: len(x)]  # models need not know empty batches
        y = clean.argmax(1) if y is None else y.detach().to(clean.device, torch.int64, copy=True)
        if len(y) and not 0 <= int(y.min()) <= int(y.max()) < clean.shape[1]:
            raise UserError(f"labels from {int(y.min())} to {int(y.max())}; the model has {clean.shape[1]} classes, numbered from 0")
        return Inputs(x, y, index, clean)

    def before(self, inputs: Inputs) -> EvasionResult:
        """The result while nothing has been tried."""
        return EvasionResult.before(inputs.x, inputs.clean, self.wanted(inputs.clean, inputs.y), inputs.index, self.only_correct)

    def pursue(self, victim: Victim, inputs: Inputs, r: EvasionResult, seed: int) -> None:
        """All runs, each on what is eligible in `r` and still stands; `r` is filled in."""
        x, clean = inputs.x, inputs.clean
        goal = self.wanted(clean, inputs.y)
        for n in range(self.runs(clean.shape[1])):
            rows = (r.eligible & ~r.success & ~r.errored).nonzero().squeeze(1)
            if not len(rows):
                break
            ours = goal.select(rows)
            s = State(x[rows], self.aim(ours, clean[rows], n), inputs.index[rows], seed, n)
            white = self.access == "white"
            self.run(victim.white_box(s, self.losses, self.eot) if white else victim.black_box(s, self.access, self.eot), s)
            run = s.end()
            self._require_inside(run.x, x[rows])
            r.enter(run, rows, victim.judge(run.x), ours)  # the original has the last word
        r.distance = torch.where(r.success, self.distance(r.x_adv, x), torch.inf)
        r.distance[~r.eligible | r.errored] = torch.nan

    def _require_inside(self, x: Tensor, clean: Tensor) -> None:
        far = float(self.distance(x, clean).nan_to_num(0).max())
        if far > self.eps + 1e-6 * max(1, self.eps) or float(x.nan_to_num(0).min()) < 0 or float(x.nan_to_num(0).max()) > 1:
            where = f"{far:.3g} from the input (ε = {self.eps:.3g}), pixels from {x.min():.3g} to {x.max():.3g}"
            raise RuntimeError(f"{type(self).__name__} left the ball: {where}")
