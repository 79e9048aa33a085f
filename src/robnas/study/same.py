"""When two commands are one: the same configs, and flags that say the same in another order, or what the configs say already."""

import json
from collections.abc import Sequence
from itertools import pairwise

from robnas.study import layers
from robnas.study.flag_words import text


def key(argv: Sequence[str]) -> str:
    """Equal where two commands of the graph do the same; where it is hard to tell they count as two.

    A flag that says what the configs say already says nothing, unless a scale has changed their values.
    """
    flags: dict[str, str] = {}
    others = []
    for word in argv:
        name, equals, value = word.partition("=")
        if name.startswith("--") and equals:
            flags.pop(name, None)  # the last one counts, where it stands
            flags[name] = value
        else:
            others.append(word)
    configs = layers.laid(tuple(name for before, name in pairwise(others) if before == "--config"))
    outer = {name: [before for before in _outer(name) if before in flags] for name in flags}
    places = {name: i for i, name in enumerate(flags)}
    if any(places[before] > places[name] for name in flags for before in outer[name]):
        return json.dumps(list(argv))  # a block is replaced after something was said of it
    if "--scale" not in flags and configs.get("scale") is None:
        around = {before for all_before in outer.values() for before in all_before}
        flags = {n: v for n, v in flags.items() if outer[n] or n in around or v != _there(configs, n[2:])}
    return json.dumps([others, sorted(flags.items())])


def _there(config: object, name: str) -> str | None:
    """What configs say, in the words of a flag."""
    value = layers.said(config, name, missing=layers)
    return None if value is layers else text(value)


def _outer(name: str) -> list[str]:
    """ "--a.b.c" → "--a", "--a.b"."""
    parts = name.split(".")
    return [".".join(parts[:n]) for n in range(1, len(parts))]
