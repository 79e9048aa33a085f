"""An attack of another library as one of ours: what the adapters to foolbox, torchattacks and ART share."""

from __future__ import annotations

import importlib
import inspect
import warnings
from abc import abstractmethod
from contextlib import nullcontext
from math import inf
from types import ModuleType
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from robnas import seeds
from robnas.attacks.asked import Asked, seeded
from robnas.attacks.base import Evasion, Inputs
from robnas.attacks.callback import Number, Outcomes
from robnas.attacks.goal import Goal
from robnas.attacks.hopskipjump import HopSkipJump
from robnas.attacks.result import EvasionResult
from robnas.attacks.state import State
from robnas.attacks.victim import Victim
from robnas.errors import UserError, require, short, unknown
from robnas.units import fraction

OUTSIDE = ("error", "project")
ROUNDING = 1e-6
"""Libraries compute in float32: images that are this much outside their ball or [0, 1] are inside."""


class Foreign(Evasion):
    """An attack of another library, on the model as it was handed over, in evaluation mode, pixels in [0, 1].

    What is ours: who is attacked (`only_correct`), the goal and its class, the verdict of the original model on the images, distances,
    queries, rows. What is theirs: everything between, so some of what our own attacks promise does not hold:

    - A library draws from global generators. They are seeded for each batch by its inputs and ours is put back, so a result is that of its
      seed; but it *depends on the batch*, and its rows are flagged so. With `alone` the library is given one input at a time: then nothing
      depends on the batch, every count is exact, and it is slow.
    - Queries in whole batches are each input's own. Of others the total is right and shared out evenly (see `Asked`); flagged.
    - An image that left the ball is no success: its input is errored and the row flagged, unless `outside` is "project".

    Args:
        method: the library's name of the attack ("PGD"), its class, an object, or a function that builds one on a model (for ART: on a
            classifier). Not named `attack`, which in a config is one of ours.
        options: arguments of that class beside eps, norm and goal, which follow from ours; "2/255" is a number here too.
        eps: radius ε in pixels of [0, 1]; .inf (∞) for attacks that look for the nearest image: then one without an image is errored.
        norm: "linf" or "l2".
        goal: "untargeted", "most_likely" or "least_likely".
        access: what the library is given, "white", "score" (logarithms of probabilities, no gradient) or "label" (logits of 1 and 0).
        outside: "error" or "project".
        alone: one input at a time.
        kwargs: n_restarts, max_inputs and only_correct, see `Evasion`.
    """

    library: ClassVar[str]
    install: ClassVar[str]
    """How pip gets it."""
    errs: ClassVar[str] = "the model gave no numbers (NaN), the library failed, its image left the ball or (ε = ∞) it found none,"

    def __init__(
        self,
        method: Any,
        options: dict[str, Any] | None = None,
        eps: float = 8 / 255,
        norm: str = "linf",
        goal: str = "untargeted",
        access: str = "white",
        outside: str = "error",
        alone: bool = False,
        **kwargs: Any,
    ) -> None:
        self.norm, self.access, self.outside, self.alone = norm, access, outside, alone  # type: ignore[misc]
        self.method, self.options = method, {k: _number(v) for k, v in (options or {}).items()}
        super().__init__(eps=eps, goal=goal, **kwargs)

    def check(self) -> None:
        """Raise UserError for an argument out of range."""
        super().check()
        if self.outside not in OUTSIDE:
            raise unknown("outside", str(self.outside), OUTSIDE)
        require(self.eot == 1, f"eot: {self.eot} with an attack of {self.library}, which has its own way")
        given = sorted({"eps", "norm", "targeted"} & set(self.options))
        require(not given, f"options: {', '.join(given)} follows from ours; say it beside `method`")
        self.look_at()

    # What the adapter to a library writes

    @abstractmethod
    def look_at(self) -> None:
        """Raise UserError for an attack that the library does not have, or that cannot be used so."""

    @abstractmethod
    def images(self, asked: Asked, x: Tensor, goal: Goal, classes: int, seed: int) -> Tensor:
        """What the library finds. x: [B, C, H, W] in [0, 1] → same shape. The global generators are seeded by `seed`."""

    def imported(self, module: str = "") -> ModuleType:
        """The library, or a module of it. Raises UserError with what pip is to install."""
        try:
            importlib.import_module(self.library)
            return importlib.import_module(self.library + module)
        except ImportError as error:
            raise UserError(f"{self.library}: not installed here ({error}); pip install {self.install}") from error

    def named(self, home: Any, base: type) -> type:
        """The class of that name in a module of the library."""
        found = getattr(home, self.method, None) if isinstance(self.method, str) else self.method
        if not (isinstance(found, type) and issubclass(found, base)):
            every = [name for name, value in vars(home).items() if isinstance(value, type) and issubclass(value, base)]
            raise unknown(f"attack of {self.library}", str(self.method), every)
        return found

    def built(self, cls: Any, first: tuple[Any, ...], ours: dict[str, Any]) -> Any:
        """One of a class, with our arguments that it takes and the user's. Raises UserError where it refuses them."""
        taken = inspect.signature(cls).parameters
        theirs = {k: v for k, v in ours.items() if k in taken and k not in self.options} | self.options
        try:
            return cls(*first, **theirs)
        except (TypeError, ValueError) as error:
            raise UserError(f"options: {getattr(cls, '__name__', cls)} of {self.library} says: {error}") from error

    # What all of them share

    def prepare(self, model: nn.Module | Victim) -> Victim:
        """The model as it was handed over, so that results are those of the library alone."""
        return Victim.prepare(model, fast=False).as_given()

    def pursue(self, victim: Victim, inputs: Inputs, r: EvasionResult, seed: int) -> None:
        """All runs; inputs without a valid image are errored."""
        self._now = _Now(victim, inputs.clean.shape[1], seed)
        try:
            super().pursue(victim, inputs, r, seed)
            failed = torch.isin(r.index, r.index.new_tensor(sorted(self._now.failed))) & r.eligible & ~r.success
        finally:
            del self._now
        if self.eps == inf:
            failed |= r.eligible & ~r.success
        r.errored |= failed
        r.robust &= ~failed
        r.distance[failed] = torch.nan
        if not self.alone:
            victim.flags.add("depends on the batch")

    def run(self, victim: Any, s: State) -> None:
        """All that stand at once, or one after another; what comes back is looked at."""
        now = self._now
        if not self.alone:
            s.x_t = self._valid(self._ask_for(s, now), s)
            return
        found = []
        for i in range(len(s)):
            one = State(s.x[i : i + 1], s.goal.select(torch.tensor([i], device=s.x.device)), s.index[i : i + 1], now.seed, s.restart)
            try:
                found.append(self._ask_for(one, now))
            except UserError:
                raise
            except Exception as error:  # a library may fail on one input in any way
                warnings.warn(f"{self.name}: input {int(s.index[i])}: {type(error).__name__}: {error}", stacklevel=2)
                found.append(torch.full_like(one.x, torch.nan))
            _take(s, i, one)
        s.x_t = self._valid(torch.cat(found), s)

    def _ask_for(self, s: State, now: _Now) -> Tensor:
        asked = Asked(now.victim._ask, s, self.access, s.x.dtype)
        seed = seeds.derive(now.seed, "foreign", s.restart, *s.index.tolist())
        with torch.enable_grad() if self.access == "white" else nullcontext(), seeded(seed, s.x.device):
            found = self.images(asked, s.x.clone(), s.goal, now.classes, seed)
        if asked.shared:
            now.victim.flags.add("queries shared out evenly")
        if asked.lost:
            now.failed.update(s.index.tolist())
            warnings.warn(f"{self.name}: NaN in queries of nobody knows which input: all of the batch errored; `alone` tells", stacklevel=2)
        require(found.shape == s.x.shape, f"method: {self.library} gave images {list(found.shape)} for {list(s.x.shape)}")
        return found.detach().to(s.x)

    def _valid(self, found: Tensor, s: State) -> Tensor:
        """Images in the ball, the clean one where there is none."""
        lost = ~found.flatten(1).isfinite().all(1)
        far = self.distance(found, s.x) > self.eps + ROUNDING * max(1, self.eps)
        far |= ((found < -ROUNDING) | (found > 1 + ROUNDING)).flatten(1).any(1)
        if self.outside == "project":
            found, far = torch.where(far.view(-1, *[1] * (s.x.ndim - 1)), self.project(found, s.x), found), torch.zeros_like(far)
        if far.any():
            self._now.victim.flags.add("images left the ball")
        self._now.failed.update(s.index[lost | far].tolist())
        return torch.where((lost | far).view(-1, *[1] * (s.x.ndim - 1)), s.x, found.clamp(0, 1))

    @property
    def exempt(self) -> dict[str, str]:
        """Rules of `robnas.testing` that cannot hold, and why."""
        why = "a library computes a batch as a whole; with `alone` it does hold"
        every = ("does_not_depend_on_the_batch", "hardly_depends_on_the_batch_in_float32", "counts_errors_apart")
        return {} if self.alone else dict.fromkeys(every, why)

    def numbers(self, outcomes: Outcomes) -> dict[str, Number]:
        """Without a ball the distance is the result, as of `HopSkipJump`."""
        return HopSkipJump.numbers(self, outcomes) if self.eps == inf else {}  # type: ignore[arg-type]  # it needs the outcomes alone

    def arguments(self) -> dict[str, Any]:
        """What it was built with; an object or a function by its name and its plain settings."""
        found = super().arguments()
        if not isinstance(self.method, str):
            plain = {} if isinstance(self.method, type) or inspect.isroutine(self.method) else vars(self.method)
            settings = {k: v for k, v in plain.items() if isinstance(v, bool | int | float | str) and not k.startswith("__")}
            found["method"] = {"class": getattr(self.method, "__qualname__", type(self.method).__qualname__)} | settings
        return found


class _Now:
    """What a run needs to know of the call that it is part of. failed: indices without a valid image."""

    def __init__(self, victim: Victim, classes: int, seed: int) -> None:
        self.victim, self.classes, self.seed = victim, classes, seed
        self.failed: set[int] = set()


def _take(s: State, i: int, one: State) -> None:
    """What was asked for one input, to the State of all."""
    row = torch.full((int(one._queries[0]),), i, device=s.x.device)
    taken = int(one._gradients[0])
    s.asked(taken, row[:taken], gradient=True)
    s.asked(len(row) - taken, row[taken:], answered=one.answered.expand(len(row) - taken))
    s._answered[i] &= one.answered[0]


def _number(value: Any) -> Any:
    if isinstance(value, str) and (found := fraction(value)) is not None:
        return found
    return value


def refused(library: str, goal: str, error: object) -> UserError:
    """The attack knows no targets."""
    return UserError(f"goal: {goal}: this attack of {library} takes no target ({short(str(error))}); untargeted is needed")
