"""Values of a study file: each is what it must be, or one line says what is wrong and where."""

from collections.abc import Iterable, Mapping
from typing import Any

from robnas.errors import require, short, unknown

FLAGS = {
    *("model", "data", "trainer", "seed_everything", "experiment", "scale", "protocol", "attacks", "defences", "probes"),
    *("init_from", "overwrite", "ckpt_path"),
}
"""What the flags of a job may begin with; the study itself says --runs and --wandb."""


def names(given: Any, where: str, allowed: Iterable[str], kind: str) -> tuple[str, ...]:
    """Of a kind, each allowed and there once."""
    found = texts(given, where)
    keys(found, allowed, kind)
    require(len(set(found)) == len(found), f"{where}: one is named twice")
    return found


def texts(given: Any, where: str) -> tuple[str, ...]:
    """A list of names, or one alone."""
    given = [given] if isinstance(given, str) else given
    require(
        isinstance(given, list | tuple) and all(isinstance(text, str) for text in given), f"{where}: {short(given)} is not a list of names"
    )
    return tuple(given)


def mapping(given: Any, where: str) -> dict[str, Any]:
    """Names to values."""
    require(isinstance(given, Mapping) and all(isinstance(key, str) for key in given), f"{where}: {short(given)} is not a mapping of names")
    return dict(given)


def keys(given: Iterable[str], allowed: Iterable[str], kind: str) -> None:
    """Each is allowed."""
    allowed = tuple(allowed)
    for key in given:
        if key not in allowed:
            raise unknown(kind, key, allowed)


def whole_numbers(given: Any, where: str) -> tuple[int, ...]:
    """A list of seeds, each there once."""
    good = isinstance(given, list) and bool(given) and all(isinstance(seed, int) and not isinstance(seed, bool) for seed in given)
    require(good, f"{where}: {short(given)} is not a list of whole numbers")
    require(len(set(given)) == len(given), f"{where}: {short(given)} names a seed twice")
    return tuple(given)


def flags(given: Any, where: str) -> dict[str, Any]:
    """Dotted names, with or without dashes, to values."""
    flags = {name.removeprefix("--"): value for name, value in mapping(given, where).items()}
    for name in flags:
        if name.partition(".")[0] not in FLAGS:
            raise unknown(f"flag of {where}", name, FLAGS)
    return flags
