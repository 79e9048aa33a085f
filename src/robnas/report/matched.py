"""Which columns of two studies are the same attack: by its settings, whatever else each study has and however each writes them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from robnas.report import settings
from robnas.report.columns import Column


def matched(first: Iterable[Column], second: Iterable[Column]) -> dict[Column, Column]:
    """Column of the first → that of the second with equal settings.

    An argument that one study knows of an attack and the other does not (its version has none) tells nothing apart, see `unknown`; unless
    the one has the attack with several values of it: then these are other attacks.
    """
    out: dict[Column, Column] = {}
    others = _by_plugin(second)
    for plugin, mine in _by_plugin(first).items():
        theirs = others.get(plugin, [])
        keys = _keys(mine) & _keys(theirs)
        by_settings = [{(column.metric, _only(column, keys)): column for column in columns} for columns in (mine, theirs)]
        if len(by_settings[0]) < len(mine) or len(by_settings[1]) < len(theirs):
            by_settings = [{(column.metric, column.setting): column for column in columns} for columns in (mine, theirs)]
        out |= {column: by_settings[1][key] for key, column in by_settings[0].items() if key in by_settings[1]}
    return out


def unknown(pairs: dict[Column, Column]) -> dict[tuple[str, bool], dict[str, Any]]:
    """What was passed over: (attack, whether the second study has it) → argument → its value, of columns that are matched all the same."""
    out: dict[tuple[str, bool], dict[str, Any]] = {}
    for one, other in pairs.items():
        mine, theirs = json.loads(one.setting), json.loads(other.setting)
        for in_second, has, lacks in ((False, mine, theirs), (True, theirs, mine)):
            if more := {key: has[key] for key in has if key not in lacks}:
                out.setdefault((one.plugin, in_second), {}).update(more)
    return out


def _by_plugin(columns: Iterable[Column]) -> dict[str, list[Column]]:
    out: dict[str, list[Column]] = {}
    for column in columns:
        out.setdefault(column.plugin, []).append(column)
    return out


def _keys(columns: Iterable[Column]) -> set[str]:
    return {key for column in columns for key in json.loads(column.setting)}


def _only(column: Column, keys: set[str]) -> str:
    return settings.in_order({key: value for key, value in json.loads(column.setting).items() if key in keys})
