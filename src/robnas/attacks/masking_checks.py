"""An attack with its controls: all that masking checks hold it against, on a few inputs (Athalye et al., 2018; Carlini et al., 2019)."""

import copy
from math import inf
from typing import Any, ClassVar

from torch import Tensor, nn

from robnas.attacks import masking
from robnas.attacks.base import Evasion
from robnas.attacks.callback import Attack, Part
from robnas.attacks.foreign import Foreign
from robnas.attacks.masking import Finding, Trial
from robnas.attacks.noise import Noise
from robnas.attacks.result import EvasionResult
from robnas.attacks.square import Square
from robnas.attacks.victim import Victim
from robnas.errors import require
from robnas.results import Row


class MaskingChecks(Attack):
    """The attack itself, at ε/2 and 2ε, without a bound, with twice its steps; random noise, and Square for a white box.

    Each has rows of its own, whose params say which `control` they are. Flags and checks (see `masking`) also reach the rows that the
    same attack has on more inputs. Steps grow as ε does; without a bound, in L2, their size is 1. Steps of an attack of another library
    are its own affair: it has no control with twice as many.

    Args:
        attack: any evasion inside a ball.
        max_inputs: the first so many of the data set, whatever the attack's own number is.
        noise_queries: random images of each input; as many as the attack has steps in all, if not given, but 1,000 at most (100 where its
            steps are not known).
        square_queries: of the score-based attack that a white box must not be weaker than.
    """

    scales: ClassVar[dict[str, dict[str, Any]]] = {"tiny": {"square_queries": 200}}

    def __init__(self, attack: Evasion, max_inputs: int | None = 100, noise_queries: int | None = None, square_queries: int = 500) -> None:
        super().__init__()
        self.attack, self.max_inputs, self.noise_queries, self.square_queries = attack, max_inputs, noise_queries, square_queries
        self.norm = attack.norm
        require(0 < attack.eps < inf, f"attack: {attack.name} has eps {attack.eps:g}; masking checks need a ball, eps above 0")
        self.controls()

    @property
    def access(self) -> str:  # type: ignore[override]
        """That of the attack."""
        return self.attack.access

    def controls(self) -> dict[str, Evasion]:
        """The attack and all that it is held against, by name."""
        eps = self.attack.eps
        found = {"itself": self._twin(eps), "half_eps": self._twin(eps / 2)}
        if self.norm == "l2" or 2 * eps < 1:
            found["twice_eps"] = self._twin(2 * eps)
        found["unbounded"] = self._twin(1.0 if self.norm == "linf" else inf)
        stranger = isinstance(self.attack, Foreign)
        if not stranger:
            found["twice_steps"] = twice = self._twin(eps)
            twice.steps *= 2
            if getattr(twice, "n_queries", None) == self.attack.steps:  # two names of one number
                twice.n_queries = twice.steps
        same: dict[str, Any] = {"eps": eps, "goal": self.attack.goal, "norm": str(self.norm)}
        same |= {"max_inputs": self.max_inputs, "only_correct": self.attack.only_correct, "eot": self.attack.eot}
        if not isinstance(self.attack, Noise):
            steps = 100 if stranger else self.attack.steps * self.attack.n_restarts
            found["noise"] = Noise(n_queries=self.noise_queries or min(1000, steps), **same)
        if self.attack.access == "white":
            found["square"] = Square(n_queries=self.square_queries, **same)
        for control in found.values():
            control.check()
        return found

    def _twin(self, eps: float) -> Evasion:
        twin = copy.copy(self.attack)
        if hasattr(twin, "step_size"):
            twin.step_size = 1.0 if eps == inf else twin.step_size * eps / twin.eps
        twin.eps, twin.max_inputs = eps, self.max_inputs
        return twin

    def __call__(
        self,
        model: nn.Module | Victim,
        x: Tensor,
        y: Tensor | None = None,
        index: Tensor | None = None,
        seed: int = 0,
        batch_size: int = 256,
    ) -> "Controlled":
        """Arguments of `Evasion.__call__` → what each control did."""
        victim = self.prepare(model)
        return Controlled({k: control(victim, x, y, index, seed, batch_size) for k, control in self.controls().items()}, self)

    def prepare(self, model: nn.Module | Victim) -> Victim:
        """As the attack does."""
        return self.attack.prepare(model)

    def proportions(self, outcomes: dict[str, Any]) -> dict[str, tuple[int, int]]:
        """Those of the attack."""
        return self.attack.proportions(outcomes)

    def arguments(self) -> dict[str, Any]:
        """What it was built with, the attack as its class and arguments."""
        return super().arguments() | {"attack": {"class": type(self.attack).__name__.lower()} | self.attack.arguments()}

    def parts(self) -> dict[str, Part]:
        """One for each control."""
        return {f"{self.name}/{k}": Part(f"{self.name}.{k}", control, {"control": k}) for k, control in self.controls().items()}

    def results(self, victim: Victim, x: Tensor, y: Tensor, index: Tensor, seed: int) -> dict[str, EvasionResult]:
        """Of some inputs, for each control."""
        return {f"{self.name}/{k}": r for k, r in self(victim, x, y, index, seed).items()}


class Controlled(dict[str, EvasionResult]):
    """Control → what happened to each input. checks: what the attack itself was held against (see `masking`), by check; flags: in words."""

    def __init__(self, found: dict[str, EvasionResult], of: MaskingChecks) -> None:
        super().__init__(found)
        self.seconds = sum(r.seconds for r in found.values())
        rows = {
            k: Row("asr", None, plugin=type(a).__name__.lower(), params=a.arguments() | {"control": k}, access=a.access, norm=a.norm)
            for k, a in of.controls().items()
        }
        trials = [Trial.of(row, {a: v.cpu().numpy() for a, v in found[k].outcomes().items()}) for k, row in rows.items()]
        self.checks: dict[str, Finding] = masking.judge(trials)[rows["itself"].key]
        self.flags = [masking.FLAGS[check] for check, finding in self.checks.items() if finding["flagged"]]

    def outcomes(self) -> dict[str, Tensor]:
        """Those of the attack itself."""
        return self["itself"].outcomes()
