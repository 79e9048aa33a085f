"""Stolen models: which row of Knockoff is of which victim. Rows name a victim by a digest; run folders by the job that trained it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from robnas.report.collected import Collected
from robnas.report.found import Found
from robnas.report.paper.over_seeds import who

BUDGET = 8000
"""Of Table 2."""


def of_victims(collected: Collected, rows: Iterable[Found]) -> list[tuple[Found, Found]]:
    """(a row of the replica, a row of its victim); replicas whose victim is not among the runs are left out."""
    by_identity, by_digest = collected.untreated
    pairs = []
    for found in rows:
        upstream = found.run.facts.get("upstream")
        jobs = [str(job) for job in upstream.values()] if isinstance(upstream, dict) else []
        victim = next((by_identity[job] for job in jobs if job in by_identity), by_digest.get(str(found.params.get("victim"))))
        if victim is not None:
            pairs.append((found, victim))
    return pairs


def same(pair: tuple[Found, Found]) -> bool:
    """Whether replica and victim share their architecture."""
    replica, victim = pair
    return who(replica) == who(victim)


def of_victim(pair: tuple[Found, Found]) -> Found:
    """The replica's row, told as one about the victim: it is the victim's loss."""
    replica, victim = pair
    row = replace(replica.row, family=victim.family, search_seed=victim.row.search_seed)
    return replace(replica, row=row, model=victim.model)


def from_budget(found: Found) -> float:
    """Distance from Table 2's number of queries."""
    budget = found.params.get("budget")
    return float(abs(budget - BUDGET)) if isinstance(budget, int) else float(BUDGET)
