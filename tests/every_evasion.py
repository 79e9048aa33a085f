"""Every built-in evasion attack, small: the tables that properties of all of them are tested over."""

from collections.abc import Callable
from typing import Any

from robnas.attacks import APGD, NES, PGD, Ensemble, EpsSweep, HopSkipJump, Noise, Square

Make = Callable[..., Any]

SINGLE: dict[str, Make] = {
    "pgd": lambda **k: PGD(6 / 255, steps=4, n_restarts=2, **k),
    "pgd_l2": lambda **k: PGD(0.3, 0.1, 4, 2, norm="l2", **k),
    "pgd_exact": lambda **k: PGD(6 / 255, steps=4, n_restarts=1, exact=True, **k),
    "pgd_most": lambda **k: PGD(8 / 255, steps=4, n_restarts=1, goal="most_likely", loss="margin", **k),
    "apgd_ce": lambda **k: APGD(6 / 255, 6, loss="cross_entropy", **k),
    "apgd_dlr": lambda **k: APGD(6 / 255, 6, loss="dlr", **k),
    "apgd_targeted": lambda **k: APGD(6 / 255, 6, loss="targeted_dlr", n_targets=2, **k),
    "apgd_l2": lambda **k: APGD(0.3, 6, norm="l2", **k),
    "square": lambda **k: Square(8 / 255, 30, **k),
    "square_l2": lambda **k: Square(0.4, 30, norm="l2", **k),
    "nes": lambda **k: NES(8 / 255, steps=3, n_queries=20, **k),
    "noise": lambda **k: Noise(0.2, 10, **k),
    "noise_l2": lambda **k: Noise(2.0, 10, norm="l2", **k),
    "hopskipjump": lambda **k: HopSkipJump(2, 10, 20, **k),
    "hopskipjump_linf": lambda **k: HopSkipJump(2, 10, 20, norm="linf", **k),
    "ensemble": lambda **k: Ensemble(6 / 255, steps=4, n_targets=2, n_queries=10, **k),
}
"""Name → attack; arguments of `Evasion` may be added."""

SWEPT: dict[str, Make] = {
    "eps_sweep": lambda **k: EpsSweep(PGD(steps=4, n_restarts=1, **k), [3 / 255, 8 / 255]),
    "eps_sweep_single": lambda **k: EpsSweep(APGD(steps=4, **k), [3 / 255, 8 / 255], nested=False),
}

EVERY = SINGLE | SWEPT


def named(name: str, **kwargs: Any) -> Any:
    """The attack of that name, under that name in rows."""
    attack = EVERY[name](**kwargs)
    attack.name = name
    return attack
