"""Masking checks on the rows of a store: flags and checks of all evasions of a victim, brought up to date. Torch-free."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from math import inf, isnan
from typing import Any

from robnas.attacks.masking import FLAGS, Trial, judge, number
from robnas.results import Row, Rows

Fields = dict[str, Any]


def applicable(row: Row) -> tuple[str, ...]:
    """The checks that there are for such an attack; none for one that is no evasion."""
    if row.kind != "attack" or row.access not in ("white", "score", "label") or row.params.get("after") or "goal" not in row.params:
        return ()
    eps = number(row.params.get("eps", inf))
    if isnan(eps):  # several radii in a row of its own, say
        return ()
    if eps == inf and row.access != "white":
        return ("noise",)
    own = ("eps", "steps", *(("noise",) if row.plugin != "noise" else ()))
    return tuple(FLAGS) if row.access == "white" else own


def bring_up_to_date(store: Rows, victims: Iterable[tuple[Any, ...]]) -> dict[str, Fields]:
    """All rows of these victims in a store say what they are held against now. Idempotent.

    victims: `origin` of rows. Returns `Row.key` → flags and checks, of every evasion of these victims. Nobody writes between reading
    and writing: of two commands on one folder the later one sees the rows of both.
    """
    said: dict[str, Fields] = {}
    store.amend(lambda: _judged(store, set(victims), said))
    return said


def _judged(store: Rows, victims: set[tuple[Any, ...]], said: dict[str, Fields]) -> dict[str, Fields]:
    """`said` is filled in; returned is what of it is new."""
    rows, changed = [row for row in store.read() if applicable(row)], {}
    for victim in victims:
        mine = [row for row in rows if origin(row) == victim]
        found = judge(trial for row in mine if row.metric == "asr" and (trial := _read(store, row)))
        for row in mine:
            checks = found.get(replace(row, metric="asr").key, {}) if row.metric != "clean_accuracy" else {}
            new = [FLAGS[check] for check, finding in checks.items() if finding["flagged"]]
            fields: Fields = {"flags": sorted({*new, *(f for f in row.flags if f not in FLAGS.values())}), "checks": checks}
            said[row.key] = fields
            if fields != {"flags": row.flags, "checks": row.checks}:
                changed[row.key] = fields
    return changed


def origin(row: Row) -> tuple[Any, ...]:
    """Rows with the same can be held against each other: job, victim, data set and attack seed."""
    return row.job, row.victim, row.dataset, row.attack_seed


def _read(store: Rows, row: Row) -> Trial | None:
    """None where the outcomes are gone, cut off, or of another version."""
    try:
        return Trial.of(row, store.read_outcomes(row))
    except Exception:  # half a file may raise anything
        return None
