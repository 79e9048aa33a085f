"""Of networks of one's own: told apart where several have one name, and what was found of each, in a sentence."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from robnas.report import names, settings

if TYPE_CHECKING:
    from robnas.report.collected import Collected
    from robnas.report.found import Found

LETTERS = 6
"""Of a network's identity, behind its name."""


def apart(rows: Sequence[Found]) -> list[Found]:
    """Networks that were handed over under one name are several models and no seeds of one: "Net (082cf2)", "Net (1b77e0)"."""
    victims: dict[str, set[str]] = defaultdict(set)
    for found in rows:
        if _handed_over(found):
            victims[found.model].add(str(found.row.victim))
    several = {model for model, own in victims.items() if len(own) > 1}
    if not several:
        return list(rows)
    return [
        replace(found, model=f"{found.model} ({str(found.row.victim)[:LETTERS]})")
        if found.model in several and _handed_over(found)
        else found
        for found in rows
    ]


def sentences(collected: Collected) -> list[str]:
    """One a network, data set and protocol: its clean accuracy, what breaks most of its images, and what is left."""
    groups: dict[tuple[str, str, str], list[Found]] = defaultdict(list)
    for found in collected.select(kind="attack"):
        groups[found.model, found.dataset, found.row.protocol].append(found)
    several = len({dataset for _, dataset, _ in groups}) > 1, len({protocol for _, _, protocol in groups}) > 1
    out = []
    for (_, dataset, protocol), rows in sorted(groups.items()):
        where = " ".join([f"on {names.data(dataset)}"] * several[0] + [f"by the {protocol} protocol"] * several[1])
        out += [_sentence(rows, where)] if any(_success(found) for found in rows) else []
    return out


def _sentence(rows: Sequence[Found], where: str) -> str:
    worst = max(filter(_success, rows), key=lambda found: (found.value, -_radius(found)))
    how = settings.labels({settings.setting(found.params) for found in rows if found.row.plugin == worst.row.plugin})
    attack = f"{names.plugin(worst.row.plugin)}{f' ({label})' if (label := how[settings.setting(worst.params)]) else ''}"
    of = f" of the {worst.row.n:,} image{'s' * (worst.row.n != 1)} it was tried on" if worst.row.n else ""
    clean = max((found for found in rows if found.row.metric == "clean_accuracy"), key=lambda found: found.row.n or 0, default=None)
    left = next((found for found in rows if found.row.metric == "robust_accuracy" and _same(found, worst)), None)
    said = [f"{worst.title}{f' {where}' if where else ''}:"]
    said += [f"{_share(clean)} of clean images right;"] if clean is not None else []
    said += [f"of the attacks made {attack} breaks most, {_share(worst)}{of}"]
    said += [f", which leaves a robust accuracy of {_share(left)}"] if left is not None else []
    return f"{' '.join(said).replace(' ,', ',')}."


def _handed_over(found: Found) -> bool:
    return found.family == "custom" and found.row.train_seed is None and found.row.victim is not None


def _success(found: Found) -> bool:
    """Whether it is the success of an attack that is bounded as an attacker would be, or changes no image."""
    return found.row.metric == "asr" and found.value == found.value and _radius(found) < 1 and "after" not in found.params


def _radius(found: Found) -> float:
    eps = found.params.get("eps")
    return float(eps) if isinstance(eps, int | float) else 1.0 if eps is not None else 0.0


def _same(one: Found, other: Found) -> bool:
    return (one.place, one.row.plugin, one.params) == (other.place, other.row.plugin, other.params)


def _share(found: Found) -> str:
    interval = f" [{100 * found.low:.1f}, {100 * found.high:.1f}]" if found.low is not None and found.high is not None else ""
    return f"{100 * found.value:.1f}%{interval}"
