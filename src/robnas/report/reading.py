"""Rows from a file of anything: what is a row is read, what is not is named."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from dataclasses import fields
from pathlib import Path
from typing import Any, NoReturn

from robnas.report.intervals import BOUNDS
from robnas.report.names import FAMILIES
from robnas.results import Row

LONGEST = 25
"""Digits of a whole number: one of 400 has no float."""
LARGEST = 1e100
"""No measurement is as large, and sums and squares of what is not can be taken."""
ROUNDED = 1e-6
"""By how much a share may be more than all."""
_KNOWN = frozenset(f.name for f in fields(Row))
_NEITHER = Row("", None)
"""A row of defaults."""
_KINDS: dict[str, type | tuple[type, ...]] = {
    **dict.fromkeys(("job", "family", "kind", "plugin", "protocol", "metric"), str),
    **dict.fromkeys(("params", "checks", "versions"), dict),
    "flags": list,
    "errored": int,
}
"""What must be of this kind."""
_OR_NONE: dict[str, type | tuple[type, ...]] = {
    **dict.fromkeys(("study", "dataset", "model", "victim", "access", "norm", "ci_method", "outcomes", "commit"), str),
    **dict.fromkeys(("search_seed", "train_seed", "attack_seed", "n", "eligible"), int),
    **dict.fromkeys(("value", "queries", "seconds"), (int, float)),
}
"""What may be missing."""


def read_rows(path: Path) -> tuple[list[Row], list[str]]:
    """The rows of a file, in order, and what to say about the rest of it: a line each."""
    try:
        text = path.read_bytes().decode("utf-8", errors="surrogateescape")
    except OSError as error:
        return [], [f"cannot be read: {error.strerror}"]
    decoder = _CAREFUL if _LONG.search(text) else _DECODER
    rows: list[Row] = []
    bad: dict[str, list[int]] = {}
    foreign: Counter[str] = Counter()
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            content = decoder.decode(line)
            row = read_row(content)
        except _NoNumberError:
            bad.setdefault("a value is NaN, infinite or too long", []).append(number)
        except (ValueError, RecursionError):
            cut = number == text.count("\n") + 1 and not text.endswith("\n")
            bad.setdefault("cut off" if cut else "no row", []).append(number)
        except TypeError as error:
            bad.setdefault(str(error), []).append(number)
        else:
            rows.append(row)
            if len(row.__dict__) != len(content) or not content.keys() <= _KNOWN:
                foreign.update(content.keys() - _KNOWN)
    said = [f"{_lines(lines)}: {what}; passed over" for what, lines in bad.items()]
    said += [f"field {name[:60]!r} of {n} rows is not known; the rest of them is read" for name, n in foreign.items()]
    return rows, said


def read_row(content: Any) -> Row:
    """A row from a line's content. Raises ValueError where it is none, TypeError that names a field of the wrong kind."""
    if not isinstance(content, dict) or "metric" not in content or "value" not in content:
        raise ValueError("no row")
    shape = (*content, *map(type, content.values()))
    if shape not in _SHAPES:
        if len(_SHAPES) >= _MOST_SHAPES:
            _SHAPES.clear()
        _SHAPES[shape] = _check(content)
    missing, foreign = _SHAPES[shape]
    if content.get("family", "custom") not in FAMILIES:
        raise TypeError(f"family is none of {', '.join(FAMILIES)}")
    if (flags := content.get("flags")) and not all(isinstance(flag, str) for flag in flags):
        raise TypeError("flags are no texts")
    if (value := content["value"]) is not None and not -LARGEST < value < LARGEST:
        raise TypeError(f"value is beyond ±{LARGEST:g}")
    if (content.get("n") or 0) < 0 or (content.get("eligible") or 0) < 0 or content.get("errored", 0) < 0:
        raise TypeError("a number of inputs is negative")
    if value is not None and (bounds := BOUNDS.get(content["metric"])) and not bounds[0] - ROUNDED <= value <= bounds[1] + ROUNDED:
        raise TypeError(f"{content['metric']} is outside of [{bounds[0]:g}, {bounds[1]:g}]")
    ci = content.get("ci")
    if ci is not None:
        try:
            low, high = (float(end) for end in ci)  # an infinite end is written as text
        except (TypeError, ValueError, OverflowError):
            raise TypeError("ci is no pair of numbers") from None
        ci = None if math.isnan(low) or math.isnan(high) else (low, high)
    row = object.__new__(Row)  # a frozen class sets one attribute after another: of 100,000 rows that takes as long as to parse them
    told = row.__dict__
    told.update({name: value for name, value in content.items() if name in _KNOWN} if foreign else content)
    for name in missing:
        default = getattr(_NEITHER, name)
        told[name] = default.copy() if isinstance(default, (dict, list)) else default
    told["ci"] = ci
    return row


def _check(content: dict[str, Any]) -> tuple[tuple[str, ...], bool]:
    """The fields that a row lacks, and whether it has others. Raises TypeError as `read_row` does."""
    for name, kind in _KINDS.items():
        if name in content and not isinstance(content[name], kind):
            raise TypeError(f"{name} is no {kind.__name__ if isinstance(kind, type) else 'number'}")
    for name, kind in _OR_NONE.items():
        found = content.get(name)
        if found is not None and (not isinstance(found, kind) or isinstance(found, bool)):
            raise TypeError(f"{name} is no {kind.__name__ if isinstance(kind, type) else 'number'}")
    return tuple(_KNOWN - content.keys()), not content.keys() <= _KNOWN


_SHAPES: dict[tuple[Any, ...], tuple[tuple[str, ...], bool]] = {}
"""Names and types of a row's fields → what `_check` says: rows of one kind are alike, and are checked once."""
_MOST_SHAPES = 1000


class _NoNumberError(Exception):
    pass


def _no_number(text: str) -> NoReturn:
    raise _NoNumberError(text)


def _whole(text: str) -> int:
    return int(text) if len(text) <= LONGEST else _no_number(text)


_DECODER = json.JSONDecoder(parse_constant=_no_number)
_CAREFUL = json.JSONDecoder(parse_constant=_no_number, parse_int=_whole)
_LONG = re.compile(rf"\d{{{LONGEST}}}")


def _lines(numbers: list[int]) -> str:
    shown = ", ".join(map(str, numbers[:8])) + (f" and {len(numbers) - 8} more" if len(numbers) > 8 else "")
    return f"line{'s' * (len(numbers) > 1)} {shown}"
