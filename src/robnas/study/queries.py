"""How often an attack asks the network, at most: by formula, from its config alone."""

import math
from collections.abc import Callable, Mapping
from typing import Any

from robnas.units import fraction


def class_of(block: Any) -> str:
    """Of a block of a config."""
    return str(block.get("class_path", "")) if isinstance(block, Mapping) else str(block)


def arguments(block: Any) -> dict[str, Any]:
    """Of a block of a config."""
    given = block.get("init_args") if isinstance(block, Mapping) else None
    return dict(given) if isinstance(given, Mapping) else {}


def number(value: Any, default: float) -> float:
    """Also of a fraction; the default for what is none, or endless."""
    if isinstance(value, str):
        read = fraction(value)
        return default if read is None else read
    return float(value) if isinstance(value, int | float) and abs(value) < LARGE else default


LARGE = 1e18
"""What is larger, or no number, is no count: a job says what it thinks of it."""


def _several(value: Any) -> int:
    return len(value) if isinstance(value, list | tuple) and value else 1


def _get(arguments: Mapping[str, Any], **defaults: float) -> list[float]:
    return [number(arguments.get(name), default) for name, default in defaults.items()]


def _hopskipjump(arguments: Mapping[str, Any]) -> float:
    """Step t asks min(max, initial · √t) times for the gradient (Chen et al., 2020), and about 25 times along the way."""
    steps, first, most = _get(arguments, steps=50, initial_evaluations=100, max_evaluations=2500)
    return sum(min(most, first * math.sqrt(t + 1)) + 25 for t in range(int(steps)))


def _sweep(arguments: Mapping[str, Any]) -> float:
    inner = arguments.get("attack") or {}
    inner = {"class_path": inner, "init_args": {}} if isinstance(inner, str) else inner
    return _several(arguments.get("eps")) * _per_input(inner)


PER_INPUT: dict[str, Callable[[Mapping[str, Any]], float]] = {
    "pgd": lambda a: math.prod(_get(a, steps=7, n_restarts=5)),
    "apgd": lambda a: (
        math.prod(_get(a, steps=100, n_restarts=1)) * (number(a.get("n_targets"), 9) if a.get("loss") == "targeted_dlr" else 1)
    ),
    "nes": lambda a: math.prod(_get(a, steps=20, n_queries=400, n_restarts=1)),
    "square": lambda a: number(a.get("n_queries"), 5000),
    "noise": lambda a: number(a.get("n_queries"), 100),
    "ensemble": lambda a: number(a.get("steps"), 100) * (1 + number(a.get("n_targets"), 9)) + number(a.get("n_queries"), 5000),
    "hopskipjump": _hopskipjump,
    "membership_hopskipjump": lambda a: 2 * _hopskipjump(a),
    "membership_noise": lambda a: 2 * (1 + _several(a.get("sigmas")) * number(a.get("copies"), 50)),
    "membership_confidence": lambda a: 2.0,
    "membership_loss": lambda a: 2.0,
    "lira": lambda a: 2.0,
    "eps_sweep": _sweep,
    "transfer": lambda a: _per_input(a.get("attack") or {}),
    "masking": lambda a: 6 * _per_input(a.get("attack") or {}) + number(a.get("square_queries"), 500),
}
"""Attack → the most passes that one input can take; of membership a member and a non-member."""
WHITE = ("pgd", "apgd", "ensemble", "masking", "transfer")


def _per_input(block: Any) -> float:
    formula = PER_INPUT.get(class_of(block))
    return formula(arguments(block)) if formula else 0.0


def queries(block: Mapping[str, Any], test: int) -> int:
    """All of an attack's, at most. test: number of test images."""
    given = arguments(block)
    if class_of(block) == "knockoff":
        return int(number(given.get("budget"), 8000))
    inner = given.get("attack")
    inputs = given.get("max_inputs", arguments(inner).get("max_inputs"))
    return round(_per_input(block) * min(test, number(inputs, test)))


def is_white_box(block: Any) -> bool:
    """Whether its queries are passes forward and back."""
    return class_of(block) in WHITE or (class_of(block) == "eps_sweep" and class_of(arguments(block).get("attack")) in WHITE)
