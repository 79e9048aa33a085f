"""Several attacks in a row, each on what those before it left standing: AutoAttack's standard order (Croce & Hein, 2020)."""

import copy
import time
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from robnas import seeds
from robnas.attacks.apgd import APGD
from robnas.attacks.base import Evasion, Inputs, batches
from robnas.attacks.callback import Part
from robnas.attacks.goal import Goal
from robnas.attacks.result import EvasionResult
from robnas.attacks.square import Square
from robnas.attacks.state import State
from robnas.attacks.victim import Victim
from robnas.errors import UserError, require


class Ensemble(Evasion):
    """A second opinion that needs no tuning. An input broken by one member is not attacked by the next.

    The standard order is APGD-CE, APGD-T, FAB-T, Square. FAB (a minimum-norm attack) is left out here, so a robust accuracy
    can be higher than AutoAttack's. APGD-CE raises the log-odds, which is the cross-entropy without rounding to zero.

    There is a row for each member, about the inputs that it was given (its robust accuracy is that after it and all before it), and
    one for all together.

    Args:
        eps: radius ε of the ball, in pixels of [0, 1].
        norm: "linf" or "l2".
        steps: of each APGD run.
        n_targets: classes that APGD-T goes through.
        n_queries: of Square.
        members: other attacks in their order, each with this eps, norm and goal; steps, n_targets and n_queries are then not used.
        kwargs: max_inputs, only_correct and eot, see `Evasion`; eot also of the standard members.
    """

    scales: ClassVar[dict[str, dict[str, Any]]] = {"tiny": {"steps": 20, "n_targets": 3, "n_queries": 300}}

    def __init__(
        self,
        eps: float = 8 / 255,
        norm: str = "linf",
        steps: int = 100,
        n_targets: int = 9,
        n_queries: int = 5000,
        members: dict[str, Evasion] | None = None,
        **kwargs: Any,
    ) -> None:
        self.norm, self.n_targets, self.n_queries, self.members = norm, n_targets, n_queries, members
        super().__init__(eps=eps, steps=steps, goal=next(iter(members.values())).goal if members else "untargeted", **kwargs)
        for name, member in (members or {}).items():
            same = (member.eps, member.norm, member.goal) == (self.eps, self.norm, self.goal)
            theirs = f"eps {member.eps:.4g}, {member.norm}, {member.goal}"
            require(same, f"members: {name} has {theirs}; the ensemble has {self.eps:.4g}, {self.norm}, {self.goal}")
        self.chain()

    def chain(self) -> dict[str, Evasion]:
        """The members by name, in their order, with this ε."""
        if self.members:
            twins = {name: copy.copy(member) for name, member in self.members.items()}
            for twin in twins.values():
                twin.eps = self.eps
            return twins
        ball: dict[str, Any] = {"eps": self.eps, "norm": self.norm, "eot": self.eot}
        ball |= {"max_inputs": self.max_inputs, "only_correct": self.only_correct}
        return {
            "apgd_ce": APGD(steps=self.steps, **ball),
            "apgd_t": APGD(steps=self.steps, loss="targeted_dlr", n_targets=self.n_targets, **ball),
            "square": Square(n_queries=self.n_queries, **ball),
        }

    def wanted(self, clean: Tensor, y: Tensor) -> Goal:
        """What the members want."""
        return next(iter(self.chain().values())).wanted(clean, y)

    def run(self, victim: Any, s: State) -> None:
        """Refused: what it is made of runs, each on its own."""
        raise UserError("ensemble: an attack made of several is for evaluation; training takes one of them")

    def pursue(self, victim: Victim, inputs: Inputs, r: EvasionResult, seed: int) -> None:
        """All members, each on what is eligible in `r` and still stands; `r` is filled in."""
        self._each(victim, inputs, r, seed)

    def _each(self, victim: Victim, inputs: Inputs, r: EvasionResult, seed: int) -> dict[str, EvasionResult]:
        found = {}
        for n, (name, member) in enumerate(self.chain().items()):
            begin, own = time.perf_counter(), r.standing()
            member.pursue(victim, inputs, own, seeds.derive(seed, "member", n) if n else seed)  # the first is that attack alone
            own.seconds = time.perf_counter() - begin
            r.add(own)
            found[name] = own
        r.distance = torch.where(r.success, self.distance(r.x_adv, inputs.x), torch.inf)
        r.distance[~r.eligible | r.errored] = torch.nan
        return found

    def of_each(
        self, model: Any, x: Tensor, y: Tensor | None = None, index: Tensor | None = None, seed: int = 0, batch_size: int = 256
    ) -> dict[str, EvasionResult]:
        """Arguments of `__call__` → what each member did to the inputs that were left to it, and under the ensemble's own name all."""
        parts: dict[str, list[EvasionResult]] = {}
        with torch.inference_mode(False), torch.no_grad():
            victim = self.prepare(model)
            for some in batches(x, y, index, batch_size):
                begin = time.perf_counter()
                inputs = self.look(victim, *some)
                r = self.before(inputs)
                for name, own in (self._each(victim, inputs, r, seed) | {self.name: r}).items():
                    parts.setdefault(name, []).append(own.to(x.device))
                    parts[name][-1].seconds = own.seconds
                parts[self.name][-1].seconds = time.perf_counter() - begin
        return {name: EvasionResult.cat(found) for name, found in parts.items()}

    def parts(self) -> dict[str, Part]:
        """One for each member, and one for all."""
        chain, found = self.chain(), {}
        for n, (name, member) in enumerate(chain.items()):
            found[f"{self.name}/{name}"] = Part(f"{self.name}.{name}", member, {"after": list(chain)[:n]})
        return found | {self.name: Part(self.name, self, {})}

    def results(self, victim: Victim, x: Tensor, y: Tensor, index: Tensor, seed: int) -> Mapping[str, EvasionResult]:
        """Of some inputs, for each member and for all."""
        found = self.of_each(victim, x, y, index, seed)
        return {name if name == self.name else f"{self.name}/{name}": r for name, r in found.items()}

    def arguments(self) -> dict[str, Any]:
        """What it was built with, other members as their class and arguments."""
        found = super().arguments()
        if self.members:
            found["members"] = {k: {"class": type(m).__name__.lower()} | m.arguments() for k, m in self.members.items()}
        return found
