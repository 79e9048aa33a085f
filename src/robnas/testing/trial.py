"""An attack on trial: built anew for each rule, and asked in one way whether it gives one result or several."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from robnas.attacks.base import Evasion
from robnas.attacks.callback import Attack
from robnas.attacks.membership.base import Membership
from robnas.attacks.membership.result import MembershipResult
from robnas.attacks.result import EvasionResult
from robnas.errors import UserError
from robnas.testing.subjects import watched


class Found(NamedTuple):
    """What was found in the ball of one radius (0: membership, which has none). attack: whose row that is."""

    eps: float
    attack: Attack
    result: Any


class Trial:
    """One attack class with arguments for it, or one attack.

    Args:
        subject: the class, or an object that is copied and never changed.
        arguments: of the class's `__init__`.
    """

    def __init__(self, subject: type[Attack] | Attack, arguments: dict[str, Any]) -> None:
        self.subject, self.arguments = subject, arguments
        self.cls: type[Attack] = subject if isinstance(subject, type) else type(subject)

    def build(self, **changes: Any) -> Any:
        """The attack with other arguments; those that its `__init__` does not take (alone) are set as attributes, as sweeps do."""
        if isinstance(self.subject, type):
            if not changes:
                return self.subject(**copy.deepcopy(self.arguments))
            try:
                return self.subject(**copy.deepcopy(self.arguments | changes))
            except (TypeError, UserError):
                attack: Any = self.subject(**copy.deepcopy(self.arguments))
        else:
            attack = copy.deepcopy(self.subject)
        for name, value in changes.items():
            setattr(attack, name, value)
        if changes and hasattr(attack, "check"):
            attack.check()
        return attack

    def parameters(self) -> dict[str, inspect.Parameter]:
        """Named arguments of its `__init__` and of those that it is made of, the nearest first."""
        found: dict[str, inspect.Parameter] = {}
        for cls in self.cls.__mro__:
            if cls is Attack:
                break
            if "__init__" in vars(cls):
                for name, p in list(inspect.signature(vars(cls)["__init__"]).parameters.items())[1:]:
                    if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL):
                        found.setdefault(name, p)
        return found

    def goals(self) -> list[str]:
        """Targeted goals that it takes."""
        return [goal for goal in ("most_likely", "least_likely") if self._takes(goal=goal)]

    def _takes(self, **changes: Any) -> bool:
        if not set(changes) <= set(inspect.signature(self.cls).parameters):
            return False
        try:
            return all(getattr(self.build(**changes), name, None) == value for name, value in changes.items())
        except (TypeError, UserError):
            return False

    @property
    def one_result(self) -> bool:
        """An evasion attack, not one of several results."""
        return issubclass(self.cls, Evasion)

    @property
    def scores(self) -> bool:
        """A membership attack."""
        return issubclass(self.cls, Membership)

    @property
    def has_ball(self) -> bool:
        """Whether an ε of any size can be given to it."""
        eps = getattr(self.build(), "eps", None)
        return isinstance(eps, int | float) and eps < torch.inf


def ask(
    attack: Any, model: nn.Module, x: Tensor, y: Tensor | None = None, index: Tensor | None = None, seed: int = 0, size: int = 256
) -> list[Found]:
    """The attack's call, watched where the model is a watched one. size: of a batch."""
    index = torch.arange(len(x)) if index is None else index
    with watched(model.seen):  # type: ignore[arg-type]
        r = attack(model, x, y, index=index, seed=seed, batch_size=size)
    if isinstance(r, MembershipResult):
        return [Found(0.0, attack, r)]
    if isinstance(r, EvasionResult):
        return [Found(attack.eps, attack, r)]
    if isinstance(r, Mapping) and all(isinstance(one, EvasionResult) for one in r.values()):
        return [Found(float(eps), attack, one) for eps, one in r.items()]
    raise AssertionError(f"a call gives {type(r).__name__}: an evasion attack gives an `EvasionResult`, or one for each ε")


def score(
    attack: Any, model: nn.Module, x: Tensor, y: Tensor | None = None, index: Tensor | None = None, size: int = 256, **more: Any
) -> MembershipResult:
    """A membership attack's call, watched."""
    with watched(model.seen):  # type: ignore[arg-type]
        r = attack(model, x, y, index=index, batch_size=size, **more)
    assert isinstance(r, MembershipResult), f"a call gives {type(r).__name__}: a membership attack gives a `MembershipResult`"
    return r


def identical(a: Any, b: Any) -> bool:
    """Whether two tensors, or all tensors of two results, are the same bits (NaN is NaN)."""
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        return a.shape == b.shape and bool(((a == b) | ((a != a) & (b != b))).all())
    return all(identical(value, getattr(b, name)) for name, value in vars(a).items() if isinstance(value, Tensor))
