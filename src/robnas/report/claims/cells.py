"""Claims on cells: the published ones among random ones, and what §5.2 does to those of DARTS."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from functools import cache

from robnas.comparison import against
from robnas.report import names
from robnas.report.claims.catalogue import Claim
from robnas.report.claims.families import between, chosen, family, worded
from robnas.report.collected import Collected
from robnas.report.paper.cells_found import Search
from robnas.report.samples import Measure, Sample, Samples, Setting
from robnas.report.verdicts import Verdict
from robnas.space import published
from robnas.space.facts import RANDOM_CELLS
from robnas.space.percentile import percentile, random_genotypes

PUBLISHED = ("amoebanet", "darts", "drnas", "enas", "nasnet", "pc_darts", "pdarts", "sgas", "snas")
"""The rows of Table 3."""


def cells(claim: Claim, samples: Samples) -> Iterator[Verdict]:
    """Published normal cells among random ones of their own space: mean percentile, less 50."""
    fact, sign = str(claim.more["fact"]), int(claim.more["sign"])
    if not any(family == "nas" for _, family in samples.collected.models()):
        return
    values = {}
    for name in PUBLISHED:
        cell = published.entry(name).genotype.normal
        others = _random(len(cell.nodes), fact)
        values[name] = [percentile(getattr(cell, fact), others) / 100]
    found = against(values, 0.5, margin=sign * 0.1)
    yield Verdict(
        *(claim.key, f"{fact} of nine cells among random ones", ("", ""), sign, found.value, found.low, found.high, "percentiles", found.p),
        p_short=found.p_margin,
        least=2.0 ** (1 - found.models),
        matters=0.1,
        models=f"{found.models} cells",
        few=worded(found.few),
        note=f"of the cells that are published, on no row of this study: percentile among {RANDOM_CELLS:,} random cells, less 50",
    )


@cache
def _random(nodes: int, fact: str) -> tuple[float, ...]:
    return tuple(float(getattr(one.normal, fact)) for one in random_genotypes(nodes, RANDOM_CELLS))


def variants(claim: Claim, samples: Samples) -> Iterator[Verdict]:
    """Variants of DARTS, each by itself against DARTS, another, or manual models: each search is one model."""
    sign = int(claim.more["sign"])
    for first, second in claim.more["pairs"]:
        if not claim.measures:
            yield from _of_searches(claim, samples.collected, first, second, sign)
        for sample, other in chosen(claim, samples):
            manual = {names.plain(found.model) for found in sample.rows if found.family == "manual"}
            own = {names.plain(name): name for name in (first, second)} | dict.fromkeys(manual, "manual")
            families = {model: own.get(name, name) for model, name in sample.families.items()}
            if first in families.values():
                told = replace(sample.measure, title=_pair(first, second, sample.measure.title))
                named = replace(sample, measure=told, families=families)
                yield between(claim.key, named, sign * sample.measure.sign, other, first, second)


def _pair(first: str, second: str, title: str) -> str:
    """ "DARTS-i: PGD, most likely"; against what, where it is not DARTS."""
    return f"{names.model(first)}{'' if second == 'darts' else f' against {family(second)}'}: {title}"


def _of_searches(claim: Claim, collected: Collected, first: str, second: str, sign: int) -> Iterator[Verdict]:
    metric = str(claim.more["metric"])
    by_setting: dict[Setting, tuple[dict[str, list[float]], dict[str, str], str]] = {}
    for found in collected.select(kind="search", metric=metric):
        search = Search(found.model, found.seed, found.place, found.params, None)
        if math.isfinite(found.value) and search.variant in (first, second):
            values, families, _ = by_setting.setdefault((found.dataset, found.row.protocol), ({}, {}, found.reduced))
            name = f"{search.variant} {search.seed}"
            values.setdefault(name, []).append(found.value)
            families[name] = search.variant
    title = _pair(first, second, metric.replace("/", " cell's "))
    measure = Measure(claim.key, title, "", metric, "more", matters=float(claim.more["matters"]))
    for setting, (values, families, reduced) in by_setting.items():
        if first in families.values():
            sample = Sample(measure, setting, values, families, ())
            yield replace(between(claim.key, sample, sign, first=first, second=second), reduced=reduced)
