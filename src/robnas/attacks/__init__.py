"""Attacks: one file each, on what `base` and `callback` do for all of them. Names load on first use."""

from typing import TYPE_CHECKING

from robnas import lazy

if TYPE_CHECKING:
    from robnas.attacks.apgd import APGD
    from robnas.attacks.base import Evasion
    from robnas.attacks.callback import Attack
    from robnas.attacks.ensemble import Ensemble
    from robnas.attacks.goal import Goal
    from robnas.attacks.hopskipjump import HopSkipJump
    from robnas.attacks.nes import NES
    from robnas.attacks.pgd import PGD
    from robnas.attacks.result import EvasionResult
    from robnas.attacks.square import Square
    from robnas.attacks.state import State
    from robnas.attacks.sweep import Curve, EpsSweep
    from robnas.attacks.victim import BlackBox, Victim, WhiteBox

__all__ = [
    "APGD",
    "NES",
    "PGD",
    "Attack",
    "BlackBox",
    "Curve",
    "Ensemble",
    "EpsSweep",
    "Evasion",
    "EvasionResult",
    "Goal",
    "HopSkipJump",
    "Square",
    "State",
    "Victim",
    "WhiteBox",
]
__getattr__ = lazy.names(
    __name__,
    {
        "apgd": "APGD",
        "base": "Evasion",
        "callback": "Attack",
        "ensemble": "Ensemble",
        "goal": "Goal",
        "hopskipjump": "HopSkipJump",
        "nes": "NES",
        "pgd": "PGD",
        "result": "EvasionResult",
        "square": "Square",
        "state": "State",
        "sweep": "Curve EpsSweep",
        "victim": "BlackBox Victim WhiteBox",
    },
)
