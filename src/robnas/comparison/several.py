"""Several tests at once: the chance of one false finding among them all."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import TypeVar

Key = TypeVar("Key", bound=Hashable)


def holm(p: Mapping[Key, float | None]) -> dict[Key, float]:
    """Test → p, adjusted so that a study in which nothing is true has a p ≤ α anywhere with probability α at most (Holm, 1979).

    The smallest of m is multiplied by m, the next by m − 1, …; none is then smaller than the one before it. What has no p is no test.
    """
    there = sorted(((value, i, key) for i, (key, value) in enumerate(p.items()) if value is not None), key=lambda entry: entry[:2])
    adjusted, largest = {}, 0.0
    for i, (value, _, key) in enumerate(there):
        largest = max(largest, min(1.0, (len(there) - i) * value))
        adjusted[key] = largest
    return {key: adjusted[key] for key in p if key in adjusted}


def levels(p: Mapping[Key, float | None], level: float = 0.05) -> dict[Key, float]:
    """Test → the p that it must not exceed for `holm` to call it significant at `level`, all other tests being as they are.

    Those that are significant without it come before it: level / (m − their number).
    """
    adjusted = holm(p)
    found = sum(value <= level for value in adjusted.values())
    return {key: level / (len(adjusted) - found + (value <= level)) for key, value in adjusted.items()}


def least(p: Mapping[Key, float | None], possible: Mapping[Key, float]) -> dict[Key, float]:
    """Test → the smallest p after `holm` that it could have had, all others being as they are. possible: the smallest it has before."""
    return {key: holm({**p, key: possible[key]})[key] for key, value in p.items() if value is not None}
