"""Remark 3: are vulnerabilities to different attacks connected? Kendall's τ of every attack with every other, over models."""

from __future__ import annotations

import numpy as np

from robnas.report.beyond import taus
from robnas.report.beyond.measured import FEW, dataset_of, matrix, vulnerabilities
from robnas.report.beyond.probe_attack import caption
from robnas.report.collected import Collected
from robnas.report.exhibit import Exhibit
from robnas.statistics import Correlations, kendall_beyond, kendall_table

KEY, TITLE = "attack-attack", "Attacks and attacks: is who falls to one vulnerable to another (Remark 3)?"


def exhibit(collected: Collected) -> Exhibit:
    """A row and a column an attack; the half above the diagonal."""
    dataset = dataset_of(collected)
    attacks = vulnerabilities(collected, dataset)
    models = sorted({name for m in attacks for name in m.values}, key=lambda name: name.order)
    if len(attacks) < 2 or len(models) < FEW:
        here = f"here: {len(models)} models and {len(attacks)} attacks that tell models apart"
        return Exhibit(KEY, "", TITLE, "", missing=f"two attacks on at least {FEW} models of one data set ({here})")
    drawn = taus.sample(models)
    y = matrix(attacks, drawn)
    found, chance = kendall_table(y, y, n_resamples=taus.resamples(len(drawn))), kendall_beyond(y, n_resamples=200)[:-1, 1:]
    rows, columns, shown = attacks[:-1], attacks[1:], lambda i, j: j >= i
    half = Correlations(found.tau[:-1, 1:], found.low[:-1, 1:], found.high[:-1, 1:], found.n[:-1, 1:])
    upper = np.triu_indices(len(rows))
    pairs, sure = half.tau[upper], taus.beyond(half, chance)[upper]
    together, against = int((sure & (pairs > 0)).sum()), int((sure & (pairs < 0)).sum())
    text = (
        f" Remark 3 says that vulnerabilities are connected: of {len(pairs)} pairs {together} go together and {against} against each "
        f"other beyond "
        f"chance (bold: |τ| above {taus.told(half, chance)}; in one of twenty shuffles of each attack by itself any of so many pairs is)."
    )
    return Exhibit(
        KEY,
        "",
        TITLE,
        caption(dataset, attacks, models, drawn) + text,
        taus.heat_map(half, rows, columns, chance, shown),
        taus.table(half, "attack", rows, columns, chance, shown),
    )
