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
