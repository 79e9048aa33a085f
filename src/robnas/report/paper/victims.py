"""Whose functionality was stolen: rows of a thief are filed under the replica; a figure is about the victim."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from robnas.report.collected import Collected, Found


def of_victims(collected: Collected, rows: Iterable[Found]) -> list[Found]:
    """The same rows under the victim's model, family and seeds; those whose victim has no row here are left out.

    A row says by the digest of its weights which victim it is of. What the replica is, stays in `params` as "replica".
    """
    trained = {found.row.victim: found for found in reversed(collected.select(kind="train", metric="accuracy")) if found.row.victim}
    out = []
    for found in rows:
        victim = trained.get(str(found.params.get("victim")))
        if victim is None:
            continue
        seeds = {"search_seed": victim.row.search_seed, "train_seed": victim.row.train_seed}
        row = replace(found.row, family=victim.family, params={**found.params, "replica": found.model, "victim": None}, **seeds)
        treatment = " + ".join(filter(None, (victim.treatment, found.treatment)))  # what was done to the victim's training counts, too
        out.append(replace(found, row=row, model=victim.model, treatment=treatment))
    return out
