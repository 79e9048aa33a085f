"""Robust accuracy of models at the ε that tells them apart best, for figures that need one number a model."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from robnas.report import names
from robnas.report.collected import Collected
from robnas.report.found import Found
from robnas.report.paper.over_seeds import Who, Worth, over_seeds
from robnas.report.paper.table_01 import members, twin
from robnas.report.paper.variants import Variant, in_words, nearest, undefended, variants

ATTACKS = ("pgd", "apgd", "ensemble", "square", "noise")
"""The first that a study has."""


class Robust(NamedTuple):
    """dataset; how: the attack in words; robust, accuracy: by model; rows: that it is from."""

    dataset: str
    how: str
    robust: dict[Who, Worth]
    accuracy: dict[Who, Worth]
    rows: tuple[Found, ...]


def robust_accuracy(collected: Collected) -> Robust | None:
    """Of untargeted attacks inside a ball; of the radii that most models have that whose robust accuracies lie farthest apart."""
    return collected.once("robust accuracy", lambda: _robust_accuracy(collected))


def _robust_accuracy(collected: Collected) -> Robust | None:
    rows = [
        f
        for f in collected.select(metric="robust_accuracy", kind="attack")
        if f.params.get("goal", "untargeted") == "untargeted" and undefended(f)
    ]
    rows = [f for f in rows if isinstance(f.params.get("eps"), int | float)]
    for plugin in ATTACKS:
        found = variants(collected, collected.select(rows, plugin=plugin))
        most = max((len(v.models) for v in found), default=0)
        kept = [v for v in found if len(v.models) >= max(2, 0.9 * most)]
        if kept:
            best = max(kept, key=lambda v: (_spread(v), len(v.rows)))
            how = f"{names.plugin(plugin)} ({in_words(dict(best.rows[0].params))})"
            return Robust(best.dataset, how, over_seeds(best.rows), accuracy(collected, best.dataset), best.rows)
    return None


def _spread(variant: Variant) -> float:
    return float(np.std([worth.value for worth in over_seeds(variant.rows).values()]))


def accuracy(collected: Collected, dataset: str) -> dict[Who, Worth]:
    """On the whole test set, of plain trainings."""
    rows = [
        f
        for f in collected.select(metric="accuracy", kind="train", plugin="accuracy", dataset=dataset)
        if undefended(f) and not twin(f.run)
    ]
    chosen = nearest(variants(collected, rows), members)
    best = max(chosen.values(), key=lambda v: len(v.models), default=None)
    return over_seeds(best.rows) if best else {}
