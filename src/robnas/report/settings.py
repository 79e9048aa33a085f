"""How an attack was set: which of its parameters tell one column of the matrix from another, and how they are written."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from typing import Any

OWN = frozenset(
    {"clean", "victim", "pool_data", "target", "watched", "seed", "pictures", "shadows", "confidence_of", "inputs", "control", "after"}
)
"""Parameters that each model has its own value of, or that only watch: they make no other attack."""
ALWAYS = ("goal", "eps", "rate", "budget", "strategy", "replica")
"""What is written even where all columns agree."""

GOALS = ("untargeted", "most_likely", "least_likely")
"""In the order of columns."""


def setting(params: Mapping[str, Any]) -> str:
    """Equal for equal attacks, whatever model they were made on."""
    kept = {k: v for k, v in params.items() if k not in OWN and not (isinstance(v, str) and "/" in v)}
    return in_order(kept)


def across(params: Mapping[str, Any]) -> dict[str, Any]:
    """What tells attacks of two studies apart: what each model of one has its own value of may differ between them as well, and one number
    is written in one way.
    """
    own = {"target", "pool_data"} & {k for k, v in params.items() if not isinstance(v, Mapping)}
    kept = {k: v for k, v in params.items() if k not in OWN or k in own}
    return {k: _plain(v) for k, v in kept.items() if not (isinstance(v, str) and "/" in v)}


def _plain(value: Any) -> Any:
    """0 and 0.0 are one number, and so are 8/255 and its six digits."""
    if isinstance(value, list):
        return [_plain(v) for v in value]
    if not isinstance(value, float) or not math.isfinite(value):
        return value
    return int(value) if value.is_integer() else float(f"{value:.6g}")


_WRITTEN: dict[str, str] = {}


def in_order(params: Mapping[str, Any]) -> str:
    """JSON with sorted keys, what is none of JSON's as text. Each is written once: of 100,000 rows few are set in a way of their own."""
    told = repr(params)
    if told not in _WRITTEN:
        if len(_WRITTEN) >= 100_000:
            _WRITTEN.clear()
        _WRITTEN[told] = json.dumps(params, sort_keys=True, default=str)
    return _WRITTEN[told]


def labels(settings: Iterable[str]) -> dict[str, str]:
    """Setting → what tells it from the others, in a few words: "most likely, ε = 8/255"."""
    parsed = {text: json.loads(text) for text in settings}
    every = list(parsed.values())
    keys = list(dict.fromkeys(key for params in every for key in params))
    shown = [key for key in ALWAYS if key in keys]
    for key in keys:  # what follows from ε, such as the size of a step, needs no mention
        if len(set(_written(every, shown))) == len(every):
            break
        if key not in shown and len({said(key, params.get(key)) for params in every}) > 1:
            shown.append(key)
    return dict(zip(parsed, _written(every, shown), strict=True))


def _written(every: Iterable[Mapping[str, Any]], keys: Iterable[str]) -> list[str]:
    written = [", ".join(filter(None, (said(key, params[key]) for key in keys if key in params))) for params in every]
    return [shortened(text, 90) for text in written]


def shortened(text: str, length: int) -> str:
    """With a sign where it is cut."""
    return text if len(text) <= length else text[: length - 1].rstrip(", ") + "…"


def size(text: str) -> float:
    """How strong an attack is set, to put several in order: its ε, rate or budget."""
    params = json.loads(text)
    found = next((params[k] for k in ("eps", "rate", "budget", "share", "queries") if isinstance(params.get(k), (int, float))), 0.0)
    return float(found)


def goal(text: str) -> str:
    """What an attack was after; "" where it does not say."""
    return str(json.loads(text).get("goal", ""))


def by_goal(name: str) -> tuple[int, str]:
    """To sort goals by."""
    return GOALS.index(name) if name in GOALS else len(GOALS), name


def unbounded(params: Mapping[str, Any]) -> bool:
    """Whether it looks for the nearest adversarial image, however far that is; its success is then no news, its distance is."""
    eps = params.get("eps")
    return eps == "inf" or (isinstance(eps, float) and math.isinf(eps))


def radius(eps: Any) -> str:
    """ "8/255", "1.33/255"; "∞" where there is no bound."""
    return f"{255 * eps:.3g}/255" if isinstance(eps, int | float) and math.isfinite(eps) else "∞"


def said(name: str, value: Any) -> str:
    """ "ε = 8/255", "40% of labels", "8000 queries"; "" where there is nothing to say."""
    if name == "eps":
        return "" if not isinstance(value, (int, float)) or isinstance(value, bool) else f"ε = {radius(value)}"
    if name == "goal":
        return str(value).replace("_", " ")
    if name == "step_size" and isinstance(value, float):
        return f"steps of {radius(value)}"
    if name == "rate" and isinstance(value, (int, float)):
        return f"{100 * value:.3g}% of labels"
    if name == "budget":
        return f"{value} queries"
    if name in ("strategy", "replica"):
        return str(value)
    if value is None:
        return ""
    if isinstance(value, (dict, list)):
        return shortened(f"{name.replace('_', ' ')} {json.dumps(value, default=str)}", 40)
    return f"{name.replace('_', ' ')} {value:.3g}" if isinstance(value, float) else f"{name.replace('_', ' ')} {value}"
