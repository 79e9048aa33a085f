"""Values of a study file: each is what it must be, or one line says what is wrong and where."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from robnas.errors import require, short, unknown
from robnas.study.flag_words import text

FLAGS = {"model", "data", "trainer", "experiment", "scale", "attacks", "defences", "probes", "init_from"}
"""What the flags of a job may begin with."""
SAID_ELSEWHERE = {
    "seed_everything": "`seeds` says that",
    "protocol": "`protocols` says that",
    "runs": "--out of the command says that",
    "wandb": "--wandb of the command says that",
    "overwrite": "a job that has changed is done anew, any other is done once",
    "ckpt_path": "a job goes on from its last checkpoint by itself",
}
"""Flag that a study sets itself → why nobody else does."""
MAPPINGS, TEXTS = ("trainer", "attacks", "defences", "probes"), ("scale", "init_from", "experiment")
MOST = 2**32
"""Seeds are smaller."""
_NAME = re.compile(r"\w[\w.+=-]*")
_EXHIBIT = re.compile(r"(?:Fig\.|Table|Theorem|Remark|Lemma|Eq\.) \d+|§\d+(?:\.\d+)*")
_MARK = re.compile(r"\{\w+\}")


def name(given: Any, where: str) -> str:
    """Of a study, a model or a block: it is part of ids and of file names."""
    good = isinstance(given, str) and _NAME.fullmatch(given) is not None
    require(good, f"{where}: {short(given)} is no name: it begins with a letter or a digit, and has no blanks, slashes and braces")
    return str(given)


def names(given: Any, where: str, allowed: Iterable[str], kind: str) -> tuple[str, ...]:
    """Of a kind, at least one, each allowed and there once."""
    found = texts(given, where)
    require(bool(found), f"{where}: there is none")
    keys(found, allowed, kind)
    require(len(set(found)) == len(found), f"{where}: one is named twice")
    return found


def texts(given: Any, where: str) -> tuple[str, ...]:
    """A list of names, or one alone."""
    given = [given] if isinstance(given, str) else given
    good = isinstance(given, list | tuple) and all(isinstance(text, str) for text in given)
    require(good, f"{where}: {short(given)} is not a list of names")
    return tuple(given)


def exhibits(given: Any, where: str) -> tuple[str, ...]:
    """Tables, figures and sections of the paper, as it calls them."""
    found = texts(given, where)
    for label in found:
        require(_EXHIBIT.fullmatch(label) is not None, f"{where}: {short(label)} is not such as Fig. 2, Table 1, §4.1, Theorem 1, Remark 3")
    return found


def mapping(given: Any, where: str) -> dict[str, Any]:
    """Names to values."""
    require(isinstance(given, Mapping) and all(isinstance(key, str) for key in given), f"{where}: {short(given)} is not a mapping of names")
    return dict(given)


def named(given: Any, where: str) -> dict[str, Any]:
    """Names to what is said of them; of a list nothing."""
    if isinstance(given, list):
        found = texts(given, where)
        require(len(set(found)) == len(found), f"{where}: one is named twice")
        return dict.fromkeys(found)
    require(isinstance(given, Mapping), f"{where}: {short(given)} is neither a list of names nor a mapping of them")
    return mapping(given, where)


def keys(given: Iterable[str], allowed: Iterable[str], kind: str) -> None:
    """Each is allowed."""
    allowed = tuple(allowed)
    for key in given:
        if key not in allowed:
            raise unknown(kind, key, allowed)


def whole_number(given: Any, where: str, least: int = 0) -> int:
    """At least `least`."""
    good = isinstance(given, int) and not isinstance(given, bool) and given >= least
    require(good, f"{where}: {short(given)} is not a whole number of at least {least}")
    return int(given)


def seeds(given: Any, where: str) -> tuple[int, ...]:
    """A list of seeds, each there once."""
    good = isinstance(given, list) and bool(given) and all(isinstance(seed, int) and not isinstance(seed, bool) for seed in given)
    require(good, f"{where}: {short(given)} is not a list of whole numbers")
    require(len(set(given)) == len(given), f"{where}: {short(given)} names a seed twice")
    for seed in given:
        require(0 <= seed < MOST, f"{where}: {short(seed)} is not in [0, {MOST:,})")
    return tuple(given)


def flags(given: Any, where: str, marks: Iterable[str] = (), several: bool = False) -> dict[str, Any]:
    """Dotted names, with or without dashes, to values.

    marks: what may stand in braces. several: each has a list of values.
    """
    flags = {name.removeprefix("--"): value for name, value in mapping(given, where).items()}
    for name, value in flags.items():
        first = name.partition(".")[0]
        require(first not in SAID_ELSEWHERE, f"{where}: {name}: {SAID_ELSEWHERE.get(first, '')}")
        if first not in FLAGS:
            raise unknown(f"flag of {where}", name, FLAGS)
        if several:
            require(isinstance(value, list) and bool(value), f"{where}.{name}: {short(value)} is not a list of values")
            twice = next((v for i, v in enumerate(value) if text(v) in [text(other) for other in value[:i]]), None)
            require(twice is None, f"{where}.{name}: {short(twice)} is there twice")
        for one in value if several else [value]:
            _value(name, one, f"{where}.{name}", tuple(marks))
    return flags


def _value(name: str, value: Any, where: str, marks: tuple[str, ...]) -> None:
    for mark in _MARK.findall(text(value)):
        known = f"; {' and '.join(marks)} can" if marks else ": this job is about no run"
        require(mark in marks, f"{where}: {mark} stands for nothing here{known}")
    bare = isinstance(value, Mapping) and len(value) == 1 and next(iter(value.items())) in (("run", None), ("model", None))
    require(not bare, f'{where}: braces need quotes here: "{{{next(iter(value), "") if bare else ""}}}"')
    if name in MAPPINGS:
        require(isinstance(value, Mapping | None), f"{where}: {short(value)} is not a mapping; a part of it is {name}.NAME")
    elif name.count(".") == 1 and name.partition(".")[0] in ("attacks", "defences", "probes"):
        require(isinstance(value, Mapping | str | None), f"{where}: {short(value)} is no name of a class")
    elif name in TEXTS:
        require(isinstance(value, str | None), f"{where}: {short(value)} is no text")
    if name in ("init_from", "model.init_from") and isinstance(value, str) and not _MARK.search(value):
        require(Path(value).expanduser().exists(), f"{where}: there is no {short(value)}: a run folder, a checkpoint, or {{run}}")
