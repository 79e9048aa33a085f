"""Networks that were searched for, under their searcher's name: rows call them by the search's run, "darts_iii-3fa9c1"."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from robnas.report import names

if TYPE_CHECKING:
    from robnas.report.found import Found

VARIANTS = ("darts", "darts_i", "darts_ii", "darts_iii")
"""§5.2: as it is, (i) deeper, (ii) without skip connects, (iii) both."""
_PLAIN = frozenset(map(names.plain, VARIANTS))


def variant(name: str, params: Mapping[str, Any]) -> str:
    """Of a search of DARTS: which of §5.2's four it is by n_step and γ, whatever its run is called; of any other its name."""
    if names.plain(name) not in _PLAIN:
        return name
    return VARIANTS[(n_step(params) > 1) + 2 * (gamma(params) < 1)]


def n_step(params: Mapping[str, Any]) -> int:
    """Weight steps for each architecture step (Eq. 4)."""
    return int(params.get("n_step") or 1)


def gamma(params: Mapping[str, Any]) -> float:
    """By which skip connects are damped (§5.2)."""
    return float(params.get("gamma") or 1.0)


def under_searchers(rows: Iterable[Found]) -> list[Found]:
    """Rows of networks from several searches by one searcher are rows of one model, and the searches are its seeds.

    Of searches by one name with several settings, those of the setting with most searches; the others keep a name of their own. A search
    that is not among the rows has the name of its run.
    """
    rows = list(rows)
    by_mark = {found.run.identity[:6]: found for found in rows if found.row.kind == "search" and found.run.identity}
    settings = {mark: _setting(found) for mark, found in by_mark.items()}
    counted = Counter(settings.values())
    usual = {name: max((s for s in counted if s[0] == name), key=lambda s: (counted[s], s)) for name, _ in counted}
    known = {mark: setting[0] if setting == usual[setting[0]] else f"{setting[0]}-{mark}" for mark, setting in settings.items()}
    return [_named(found, known) for found in rows]


def _setting(search: Found) -> tuple[str, str]:
    """(variant, what it was told)."""
    return variant(search.model, search.params), json.dumps(search.params, sort_keys=True, default=str)


def _named(found: Found, known: Mapping[str, str]) -> Found:
    cut = names.SEARCHED.fullmatch(found.model)
    if cut is None or found.row.search_seed is None:
        return found
    return replace(found, model=known.get(cut[2], cut[1]))
