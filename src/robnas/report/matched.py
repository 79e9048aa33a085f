"""Which attacks of two studies are the same: by their settings, whatever else each study has and however each writes them."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from robnas.report import settings
from robnas.report.collected import Collected
from robnas.report.columns import Column
from robnas.report.found import Found
from robnas.report.matrix import Group, Pair, attacked, who

INPUTS = "max_inputs"
"""How many images are attacked makes no other attack, but another n."""
VICTIM = "victim"
"""Said of a theft whose victim's run is not here: its row's model is the replica's."""
NEEDED = frozenset((*settings.ALWAYS, VICTIM))
"""What tells attacks apart though one of them does not say it."""


@dataclass(frozen=True)
class Attack:
    """An attack with its settings and what is measured of it, as another study may have it too."""

    column: Column

    @cached_property
    def params(self) -> dict[str, Any]:
        """By name."""
        return dict(json.loads(self.column.setting))

    def near(self, other: Attack) -> bool:
        """Of the same class and metric: whether no argument that both know tells them apart, but for the number of images. What only one
        knows, another version has.
        """
        mine, theirs = self.params, other.params
        both = mine.keys() & theirs.keys()
        if NEEDED & (mine.keys() ^ theirs.keys()) or (not both and (mine or theirs)):
            return False
        return all(mine[key] == theirs[key] for key in both - {INPUTS})

    def differences(self, other: Attack, a: str, b: str) -> list[str]:
        """From one that is near: "momentum 0.9 in B alone", "max inputs 100 and 200". a, b: the studies' names."""
        said = []
        for key in sorted(self.params.keys() | other.params.keys()):
            mine, theirs = (settings.said(key, params[key]) if key in params else None for params in (self.params, other.params))
            if mine is None or theirs is None:
                said.append(f"{mine or theirs or key.replace('_', ' ')} in {b if mine is None else a} alone")
            elif mine != theirs:
                said.append(f"{mine} and {theirs.removeprefix(key.replace('_', ' ')).strip()}")
        return said


def attacks(collected: Collected, group: Group) -> dict[Attack, dict[Pair, list[Found]]]:
    """Attack → model → its rows. Finer than the matrix's columns: a target of each model's own counts."""
    out: dict[Column, dict[Pair, list[Found]]] = defaultdict(lambda: defaultdict(list))
    for found in group.attacks:
        params, model = settings.across(found.params), attacked(collected, found)
        if found.row.metric == "ace":
            params["replica"] = "" if model == who(found) else f"replica {found.title}"
            params |= {VICTIM: "unknown"} if collected.victim(found) is None else {}
        out[Column(found.row.plugin, settings.in_order(params), found.row.metric)][model].append(found)
    return {Attack(column): dict(by_model) for column, by_model in out.items()}


def matched(first: Collection[Attack], second: Collection[Attack]) -> dict[Attack, Attack]:
    """Attack of the first study → the second's: an equal one, else the one that is near.

    None where several are near that are not near each other: then an argument that the first does not know tells the second's apart, or
    the other way round.
    """
    equal = set(first) & set(second)
    out = {attack: attack for attack in first if attack in equal}
    by_kind = [_by_kind(attacks) for attacks in (first, second)]
    for kind, mine in by_kind[0].items():
        theirs = by_kind[1].get(kind, [])
        for attack in mine:
            if attack in equal:
                continue
            there = _candidates(attack, [other for other in theirs if other not in equal or _of_another_version(attack, other)])
            if there and _alike(there) and _alike([one for one in mine if one.near(there[0])]):
                out[attack] = there[0]
    return {attack: out[attack] for attack in first if attack in out}


def _by_kind(attacks: Collection[Attack]) -> dict[tuple[str, str], list[Attack]]:
    out: dict[tuple[str, str], list[Attack]] = {}
    for attack in attacks:
        out.setdefault((attack.column.plugin, attack.column.metric), []).append(attack)
    return out


def _candidates(attack: Attack, others: Sequence[Attack]) -> list[Attack]:
    """Those near it, that with the fewest differences and the most images first."""

    def place(other: Attack) -> tuple[int, float, str]:
        inputs = other.params.get(INPUTS) or math.inf  # None: all there are
        return len(attack.differences(other, "", "")), -inputs if isinstance(inputs, (int, float)) else 0.0, other.column.setting

    return sorted((other for other in others if attack.near(other)), key=place)


def _alike(attacks: Sequence[Attack]) -> bool:
    return all(one.near(other) for i, one in enumerate(attacks) for other in attacks[:i])


def _of_another_version(attack: Attack, other: Attack) -> bool:
    """Whether nothing but arguments that one of them does not know differs."""
    both = attack.params.keys() & other.params.keys()
    return all(attack.params[key] == other.params[key] for key in both)
