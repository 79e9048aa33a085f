"""Attacks: one file each, on what `base` and `callback` do for all of them."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from robnas.attacks.apgd import APGD
    from robnas.attacks.base import Evasion
    from robnas.attacks.callback import Attack
    from robnas.attacks.goal import Goal
    from robnas.attacks.pgd import PGD
    from robnas.attacks.result import EvasionResult
    from robnas.attacks.state import State
    from robnas.attacks.victim import BlackBox, Victim, WhiteBox

__all__ = ["APGD", "PGD", "Attack", "BlackBox", "Evasion", "EvasionResult", "Goal", "State", "Victim", "WhiteBox"]

_HOME = {"Attack": "callback", "BlackBox": "victim", "Evasion": "base", "EvasionResult": "result", "WhiteBox": "victim"}


def __getattr__(name: str) -> Any:
    if name in __all__:
        from importlib import import_module

        return getattr(import_module(f"robnas.attacks.{_HOME.get(name, name.lower())}"), name)
    raise AttributeError(f"module 'robnas.attacks' has no attribute {name!r}")
