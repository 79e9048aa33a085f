"""One attack over several radii (Fig. 3: success over ε, with α = ε/3), in one pass over the inputs."""

import copy
import time
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from robnas.attacks.base import Evasion, batches
from robnas.attacks.callback import Attack, Part
from robnas.attacks.result import EvasionResult
from robnas.attacks.victim import Victim
from robnas.errors import require


class EpsSweep(Attack):
    """The victim is prepared and asked about the clean inputs once; radii follow from the smallest to the largest.

    Balls are nested: an image that breaks an input at a smaller ε breaks it at every larger one, so it is not attacked again there
    (success with no queries of that ε). That can only raise success above that of single runs, whose curve may fall where an attack
    gets lost; so the rows say `nested: true`, which keeps them apart from those of single runs, and whoever looks for masked gradients
    in such a fall sets nested to false: then each row is that of the attack alone. What is attacked ends as it would alone.

    Args:
        attack: any evasion inside a ball; its own eps is not used.
        eps: radii, in pixels of [0, 1].
        step_per_eps: α/ε of an attack that has a step size; None: the attack's own α.
        nested: leave out what a smaller ε broke.
    """

    def __init__(self, attack: Evasion, eps: list[float], step_per_eps: float | None = 1 / 3, nested: bool = True) -> None:
        super().__init__()
        self.attack, self.step_per_eps, self.nested = attack, step_per_eps, nested
        require(len(eps) >= 1, "eps: [] has no radius")
        require(step_per_eps is None or step_per_eps >= 0, f"step_per_eps: {step_per_eps} is negative")
        self.eps = sorted(set(eps))
        self.max_inputs, self.norm = attack.max_inputs, attack.norm
        self.singles()

    @property
    def access(self) -> str:  # type: ignore[override]
        """That of the attack."""
        return self.attack.access

    def singles(self) -> list[Evasion]:
        """The attack once for each ε."""
        twins = []
        for eps in self.eps:
            twin = copy.copy(self.attack)
            twin.eps = eps
            if self.step_per_eps is not None and hasattr(twin, "step_size"):
                twin.step_size = self.step_per_eps * eps
            twin.check()
            twins.append(twin)
        return twins

    def __call__(
        self,
        model: nn.Module | Victim,
        x: Tensor,
        y: Tensor | None = None,
        index: Tensor | None = None,
        seed: int = 0,
        batch_size: int = 256,
    ) -> "Curve":
        """Arguments of `Evasion.__call__` → a result for each ε."""
        singles = self.singles()
        found: list[list[EvasionResult]] = [[] for _ in singles]
        with torch.inference_mode(False), torch.no_grad():
            victim = self.prepare(model)
            for some in batches(x, y, index, batch_size):
                begin = time.perf_counter()
                inputs, smaller = singles[0].look(victim, *some), None
                for single, parts in zip(singles, found, strict=True):
                    r = single.before(inputs)
                    if smaller is not None and self.nested:
                        r.inherit(smaller)
                    single.pursue(victim, inputs, r, seed)
                    smaller = r
                    parts.append(r.to(x.device))
                    parts[-1].seconds, begin = time.perf_counter() - begin, time.perf_counter()
        return Curve(dict(zip(self.eps, map(EvasionResult.cat, found), strict=True)))

    def prepare(self, model: nn.Module | Victim) -> Victim:
        """As the attack does."""
        return self.attack.prepare(model)

    def proportions(self, outcomes: dict[str, NDArray[Any]]) -> dict[str, tuple[int, int]]:
        """Those of the attack."""
        return self.attack.proportions(outcomes)

    def arguments(self) -> dict[str, Any]:
        """What it was built with, the attack as its class and arguments."""
        attack = {"class": type(self.attack).__name__.lower()} | self.attack.arguments()
        return {"attack": attack, "eps": self.eps, "step_per_eps": self.step_per_eps, "nested": self.nested}

    def parts(self) -> dict[str, Part]:
        """One for each ε, with the params of the attack alone."""
        more = {"nested": True} if self.nested and len(self.eps) > 1 else {}
        return {self._key(single.eps): Part(self.name, single, more) for single in self.singles()}

    def results(self, victim: Victim, x: Tensor, y: Tensor, index: Tensor, seed: int) -> dict[str, EvasionResult]:
        """Of some inputs, for each ε."""
        return {self._key(eps): r for eps, r in self(victim, x, y, index, seed).items()}

    def _key(self, eps: float) -> str:
        return f"{self.name}/eps={eps:.6g}"


class Curve(dict[float, EvasionResult]):
    """ε → what happened to each input there."""

    def __init__(self, found: dict[float, EvasionResult]) -> None:
        super().__init__(found)
        self.seconds = sum(r.seconds for r in found.values())

    def asr(self) -> dict[float, float]:
        """ε → share of the attacked inputs that broke; NaN where none was attacked."""
        sums = {eps: (int(r.success.sum()), int((r.eligible & ~r.errored).sum())) for eps, r in self.items()}
        return {eps: hits / n if n else np.nan for eps, (hits, n) in sums.items()}

    def outcomes(self) -> dict[str, Tensor]:
        """Those of the largest ε, and `least_eps`: [N] the smallest ε that broke an input; ∞ where none did."""
        last = list(self.values())[-1].outcomes()
        least = torch.full_like(last["distance"], torch.inf)
        for eps, r in reversed(self.items()):
            least[r.success] = eps
        return last | {"least_eps": least}
