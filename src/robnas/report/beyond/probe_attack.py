"""Do the explanations predict vulnerability? Kendall's τ of every explanation with every attack, over models."""

from __future__ import annotations

import numpy as np

from robnas.report import names
from robnas.report.beyond import taus
from robnas.report.beyond.measured import FEW, Measured, dataset_of, explanations, matrix, vulnerabilities
from robnas.report.collected import Collected
from robnas.report.exhibit import Exhibit
from robnas.report.paper.over_seeds import Who
from robnas.statistics import kendall_beyond, kendall_table

KEY, TITLE = "probe-attack", "Explanations and attacks: what goes with vulnerability"
NEEDED = "models with probes and attacks on one data set"


def exhibit(collected: Collected) -> Exhibit:
    """A row an explanation, a column an attack."""
    dataset = dataset_of(collected)
    attacks, explained = vulnerabilities(collected, dataset), explanations(collected, dataset)
    models = with_both(attacks, explained)
    if not attacks or not explained or len(models) < FEW:
        here = f"here: {len(models)} models, {len(explained)} explanations and {len(attacks)} attacks that tell models apart"
        return Exhibit(KEY, "", TITLE, "", missing=f"{NEEDED}, at least {FEW} models, as fewer have no order to speak of ({here})")
    drawn = taus.sample(models)
    x, y = matrix(explained, drawn), matrix(attacks, drawn)
    found, chance = kendall_table(x, y, n_resamples=taus.resamples(len(drawn))), kendall_beyond(x, y, n_resamples=200)
    beyond = int(taus.beyond(found, chance).sum())
    return Exhibit(
        KEY,
        "",
        TITLE,
        caption(dataset, attacks, models, drawn)
        + f" Bold: |τ| above {taus.told(found, chance)}; in one of twenty shuffles of the models any of such a table is: {beyond} of "
        f"{int(np.isfinite(found.tau).sum())}. A τ is no cause; parameters, FLOPs and clean accuracy stand there "
        "because an explanation that does no better than they do explains little.",
        taus.heat_map(found, explained, attacks, chance),
        taus.table(found, "explanation", explained, attacks, chance, lambda i, j: True),
    )


def with_both(attacks: list[Measured], explained: list[Measured]) -> list[Who]:
    """Models that have an attack and an explanation, in order."""
    one, two = ({name for m in own for name in m.values} for own in (attacks, explained))
    return sorted(one & two, key=lambda name: name.order)


def caption(dataset: str, attacks: list[Measured], models: list[Who], drawn: list[Who]) -> str:
    """What τ is of."""
    families = {family: sum(name.family == family for name in models) for family in names.FAMILIES}
    counted = ", ".join(f"{n} {names.FAMILIES[family].title}" for family, n in families.items() if n)
    measured = "; ".join(f"{m.title}: {m.what}" for m in attacks)
    return (
        f"Kendall's τ-b over {len(models)} models ({counted}) on {names.data(dataset)}, means over seeds; positive where more of a row "
        f"goes "
        "with more vulnerability. Below each its 95% bootstrap interval over models, each by itself. Hatched: fewer than two models have "
        f"both, or all are alike. Vulnerability is measured by: {measured}."
        + (
            " Two families in one τ: what differs between them, such as size, may be all that it sees."
            if sum(map(bool, families.values())) > 1
            else ""
        )
        + (f" A sample of {len(drawn)} models, as more take too long." if len(drawn) < len(models) else "")
    )
