"""Which rows are meant: a field of rows has a value, or one of several; names of plug-ins and data sets in any spelling."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields
from operator import attrgetter
from typing import Any

from robnas.report import names
from robnas.report.found import Found
from robnas.results import Row

FIELDS = frozenset({f.name for f in fields(Row)} | {"model", "treatment", "reduced", "seed", "dataset", "block", "place", "title"})
_OF_ROW = frozenset(f.name for f in fields(Row)) - {"model", "dataset", "value"}
_BY_PLAIN_NAME = ("plugin", "dataset")


def choice(name: str, value: Any) -> tuple[Any, ...]:
    """The values to look for, each once."""
    several = list(value) if isinstance(value, (tuple, list, set, frozenset)) else [value]
    return tuple(dict.fromkeys(names.plain(v) if name in _BY_PLAIN_NAME and isinstance(v, str) else v for v in several))


def agreeing(rows: Iterable[Found], tests: Mapping[str, tuple[Any, ...]]) -> list[Found]:
    """One test after another, as most rows go at the first."""
    chosen = list(rows)
    for name, values in tests.items():
        told = attrgetter(f"row.{name}" if name in _OF_ROW else name)
        if name == "plugin":
            chosen = [found for found in chosen if names.plain(told(found)) in values]
        elif len(values) == 1:
            only = values[0]
            chosen = [found for found in chosen if told(found) == only]
        else:
            chosen = [found for found in chosen if told(found) in values]
    return chosen


def has(params: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Whether arguments have these values, others as they like."""
    return all(key in params and params[key] == value for key, value in wanted.items())
