"""When two commands are one: the same configs, and flags that say the same in other words or another order."""

import json
from collections.abc import Sequence
from typing import Any

from robnas.study import layers


def key(argv: Sequence[str]) -> str:
    """Equal where two commands do the same; where it is hard to tell they count as two.

    A flag that says what the configs say already says nothing, unless a scale has changed their values.
    """
    asked = layers.asked(tuple(argv[1:]))
    edits: dict[str, Any] = {}
    for name, value in asked.edits:
        edits.pop(name, None)  # the last one counts, where it stands
        edits[name] = value
    config = layers.laid(tuple(asked.configs))
    scaled = "scale" in edits or config.get("scale") is not None
    inner = {name for name in edits if any(outer in edits for outer in _outer(name))}
    around = {outer for name in inner for outer in _outer(name)}
    places = {name: i for i, name in enumerate(edits)}
    if any(places[outer] > places[name] for name in inner for outer in _outer(name) if outer in places):
        return json.dumps(list(argv))  # a block is replaced after something was said of it
    said = {n: json.dumps(v, sort_keys=True, default=str) for n, v in edits.items()}
    if not scaled:
        said = {n: v for n, v in said.items() if n in inner | around or v != _text(layers.said(config, n, layers))}
    return json.dumps([argv[0], asked.runs, asked.configs, said], sort_keys=True)


def _outer(name: str) -> list[str]:
    """ "a.b.c" → "a", "a.b"."""
    parts = name.split(".")
    return [".".join(parts[:n]) for n in range(1, len(parts))]


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=str)
