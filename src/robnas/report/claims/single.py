"""Claims with a test of their own: Theorem 1, Fig. 4 and Fig. 14."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from robnas.common import Common, phi
from robnas.comparison import alike
from robnas.report import names
from robnas.report.claims.catalogue import Claim
from robnas.report.claims.families import between, chosen, of_difference
from robnas.report.found import Found
from robnas.report.paper import fig_04, fig_14
from robnas.report.samples import HARDENED, Measure, Sample, Samples
from robnas.report.verdicts import UNMET, Verdict
from robnas.statistics import wilson


def theorem(claim: Claim, samples: Samples) -> Iterator[Verdict]:
    """On how many inputs the bound is broken. It is about normalised weights, and no row is of a model that has them."""
    for sample, _ in chosen(claim, samples):
        n = sum(found.row.n or 0 for found in sample.rows)
        broken = round(sum(found.value * (found.row.n or 0) for found in sample.rows))
        if not n:
            continue
        low, high = wilson(broken, n)
        note = f"broken on {broken} of {n} inputs"
        yield Verdict(
            *(claim.key, "input smoothness · √n ≤ parameter smoothness", sample.setting, -1, broken / n, low, high, "points"),
            models=f"{len(sample.values)} models",
            decided=UNMET,
            reduced=sample.reduced,
            note=f"{note}; weights are not normalised as it asks, and its proof bounds a row's L1 norm by 1/√n where it is 1 to √n",
        )


def shared(claim: Claim, samples: Samples) -> Iterator[Verdict]:
    """Fig. 4: how alike two NAS models break, input by input, less two manual ones; φ is 0 of models that break independently."""
    there, papers = fig_04.chosen(samples.collected), str(claim.more["goal"])
    for (setting, goal), variant in there.items():
        if goal != papers and (setting, papers) in there:
            continue
        every: list[Common] = []
        rows: list[Found] = []
        plain = tuple(found for found in variant.rows if names.base(found.model) not in HARDENED)
        for common, own in fig_04.aligned(replace(variant, rows=plain)):
            if not every or common.names == every[0].names:
                every.append(common)
                rows += own
        if not every or min(map(every[0].families.count, ("nas", "manual"))) < 2:
            continue
        measure = Measure(claim.key, f"PGD, {fig_04.GOALS[goal]}: φ of two models", "", "", "more", "φ", float(claim.more["matters"]))
        table = np.mean([phi(common.broken) for common in every], axis=0)
        found = alike(table, every[0].families, margin=measure.matters)
        verdict = of_difference(claim.key, Sample(measure, setting, {}, {}, tuple(rows)), 1, found, goal != papers)
        nas, manual = found.mean
        within = "" if nas is None or manual is None else f": {nas:.2g} within NAS, {manual:.2g} within manual models"
        yield replace(verdict, note=f"φ over {every[0].n} inputs{within}")


def hardened(claim: Claim, samples: Samples) -> Iterator[Verdict]:
    """Fig. 14: NAS above manual after adversarial training, in what accuracy it cost and in what PGD still breaks."""
    measures = {
        "drop": Measure("drop", "accuracy that adversarial training costs", "", "accuracy", "more", "points", 0.02),
        "asr": Measure("asr", "untargeted PGD after adversarial training", "", "asr", "more", "points", 0.05),
    }
    attacked, rows = fig_14.of_trainings(samples.collected)
    for (dataset, protocol, method), own in attacked.items():
        for name, measure in measures.items():
            worths = {model: getattr(outcome, name) for model, outcome in own.outcomes.items()}
            values = {model.title: worth.each for model, worth in worths.items() if worth is not None}
            families = {model.title: model.family for model in worths if names.base(model.model) not in HARDENED}
            sample = Sample(measure, (dataset, protocol), values, families, tuple(rows))
            if values:
                yield replace(between(claim.key, sample, 1), note=method)
