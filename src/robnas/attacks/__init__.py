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
    from robnas.attacks.masking_checks import MaskingChecks
    from robnas.attacks.nes import NES
    from robnas.attacks.noise import Noise
    from robnas.attacks.pgd import PGD
    from robnas.attacks.result import EvasionResult
    from robnas.attacks.square import Square
    from robnas.attacks.state import State
    from robnas.attacks.sweep import Curve, EpsSweep
    from robnas.attacks.transfer import Transfer
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
    "MaskingChecks",
    "Noise",
    "Square",
    "State",
    "Transfer",
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
        "masking_checks": "MaskingChecks",
        "nes": "NES",
        "noise": "Noise",
        "pgd": "PGD",
        "result": "EvasionResult",
        "square": "Square",
        "state": "State",
        "sweep": "Curve EpsSweep",
        "transfer": "Transfer",
        "victim": "BlackBox Victim WhiteBox",
    },
)
