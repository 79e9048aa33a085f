"""Flags as words of a command, such that the command line reads them as they were meant."""

import json
import math
import re
import shlex
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from robnas.configuration import reading

MARK = re.compile(r"\{([^{} ]+)\}")
"""In a command: the run folder of the job of that id; in a study file `{run}` and `{model}`."""


def written(flags: Mapping[str, Any]) -> list[str]:
    """As words of a command."""
    return [f"--{name}={text(value)}" for name, value in flags.items()]


def text(value: Any) -> str:
    """A flag's value as people write it, and as `reading.read_value` reads it; in quotes only where it would be read as something else."""
    return _text(value, False)


def _text(value: Any, inside: bool) -> str:
    if isinstance(value, bool) or value is None:
        return "null" if value is None else str(value).lower()
    if isinstance(value, float) and not math.isfinite(value):
        return ".nan" if math.isnan(value) else ".inf" if value > 0 else "-.inf"
    if isinstance(value, list | tuple):
        return f"[{','.join(_text(item, True) for item in value)}]"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_text(key, True)}: {_text(item, True)}" for key, item in value.items()) + "}"
    return str(value) if not isinstance(value, str) or _is_plain(value, inside) else json.dumps(value, ensure_ascii=False)


@lru_cache(maxsize=4096)
def _is_plain(value: str, inside: bool) -> bool:
    """Whether a text is read as itself; what a mark stands for is filled in later. inside: of a list or a mapping."""
    plain = MARK.sub("x", value)
    read = reading.read_value(f"[{plain}]" if inside else plain)
    return bool(read == ([plain] if inside else plain))


def filled(words: Iterable[str], fills: Mapping[str, str]) -> list[str]:
    """The words with `{run}` and `{model}` replaced."""
    out = []
    for word in words:
        for mark, value in fills.items():
            word = word.replace(mark, value)
        out.append(word)
    return out


def typed(words: Iterable[str]) -> str:
    """As a user types them to a shell; a mark stays as it is."""
    return " ".join(word if shlex.quote(MARK.sub("x", word)) == MARK.sub("x", word) else shlex.quote(word) for word in words)
