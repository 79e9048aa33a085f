"""The paper's remarks, theorem and claims as tests of rows: claims.yaml says what is claimed and measured, here is how it is tested."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
import yaml

from robnas.common import Common, phi
from robnas.comparison import Difference, against, alike, connected, difference, least_exchanged, means, spread
from robnas.comparison.connection import LEAST
from robnas.report import names
from robnas.report.collected import Collected, Found
from robnas.report.paper import fig_04, fig_14
from robnas.report.paper.cells_found import Search
from robnas.report.samples import HARDENED, Measure, Sample, Samples, Setting
from robnas.report.samples import samples as of_study
from robnas.report.verdicts import UNMET, Verdict, corrected
from robnas.space import published
from robnas.space.facts import RANDOM_CELLS
from robnas.space.percentile import percentile, random_genotypes
from robnas.statistics import wilson

ATTACKS = ("white box", "black box", "poisoning", "backdoor", "stealing", "membership")
"""Ways to attack (§2.2, §3.2), which count alike."""
CLOSER = 0.8
"""Spreads whose ratio is not below this differ too little to matter."""
TAU = 0.2
"""A τ below this is too weak to be called a connection."""
PUBLISHED = ("amoebanet", "darts", "drnas", "enas", "nasnet", "pc_darts", "pdarts", "sgas", "snas")
"""The rows of Table 3."""
RATIOS: Mapping[str, str] = {"log": "ratio", "points": "points", "plain": ""}


@dataclass(frozen=True)
class Claim:
    """See claims.yaml. said: the paper's words; meaning: what they mean where a clause alone does not say it."""

    key: str
    remark: str
    where: str
    said: str
    test: str
    measures: tuple[Measure, ...] = ()
    others: tuple[Measure, ...] = ()
    meaning: str = ""
    more: Mapping[str, Any] = field(default_factory=dict)


@cache
def catalogue() -> tuple[tuple[Claim, ...], Mapping[str, Measure]]:
    """All claims in the paper's order, and all measures by key."""
    content = yaml.safe_load((files("robnas.report") / "claims.yaml").read_text("utf-8"))
    measures = {key: Measure(key, **_tuples(told)) for key, told in content["measures"].items()}
    claims = []
    for told in content["claims"]:
        own = {key: told.pop(key) for key in ("key", "remark", "where", "said", "test")}
        used, others = (tuple(measures[key] for key in told.pop(name, ())) for name in ("measures", "others"))
        claims.append(Claim(**own, measures=used, others=others, meaning=told.pop("meaning", ""), more=told))
    return tuple(claims), measures


def judge(collected: Collected) -> list[Verdict]:
    """Every claim under every data set and protocol that it has rows of, Holm over them all; one without rows once, as not enough data.

    Claims on published cells are tested where the study has NAS models, and are no tests of those.
    """
    verdicts = []
    for claim in catalogue()[0]:
        found = list(_TESTS[claim.test](claim, of_study(collected, variants=claim.test == "variants")))
        verdicts += found or [Verdict(claim.key, " or ".join(m.title for m in claim.measures) or "–", ("", ""), few="no rows")]
    alone = iter(corrected([v for v in verdicts if v.of_data]))  # by Holm among themselves: they are the same in every study
    rest = iter(corrected([v for v in verdicts if not v.of_data]))
    return [next(alone if v.of_data else rest) for v in verdicts]


def _chosen(claim: Claim, samples: Samples) -> Iterator[tuple[Sample, bool]]:
    """The samples of a claim, and whether they stand in: others do under a data set and protocol that has none of the paper's."""
    settings: set[Setting] = set()
    for measure in claim.measures:
        for setting, sample in samples.of(measure).items():
            settings.add(setting)
            yield sample, False
    for measure in claim.others:
        for setting, sample in samples.of(measure).items():
            if setting not in settings:
                yield sample, True
                settings.add(setting)


def _families(claim: Claim, samples: Samples) -> Iterator[Verdict]:
    """NAS above, or below, manual."""
    sign = 1 if claim.test == "more" else -1
    for sample, other in _chosen(claim, samples):
        turned = bool(claim.measures) and sample.measure.sign != claim.measures[0].sign  # a stand-in that counts the other way round
        yield _between(claim.key, sample, -sign if turned else sign, other)


def _between(key: str, sample: Sample, sign: int, other: bool = False, first: str = "nas", second: str = "manual") -> Verdict:
    """One family above, or below, another."""
    found = difference(sample.values, sample.families, first, second, margin=sign * _matters(sample.measure))
    return _of_difference(key, sample, sign, found, other)


def _matters(measure: Measure) -> float:
    """In the unit of the test."""
    return math.log10(measure.matters) if measure.scale == "log" and measure.matters else measure.matters


def _of_difference(key: str, sample: Sample, sign: int, found: Difference, other: bool) -> Verdict:
    measure = sample.measure
    return Verdict(
        key,
        measure.title,
        sample.setting,
        sign,
        found.value,
        found.low,
        found.high,
        RATIOS.get(measure.scale, measure.scale),
        found.p,
        p_short=found.p_margin,
        least=least_exchanged(*found.models),
        matters=_matters(measure),
        error=found.error,
        freedom=found.freedom,
        models=f"{found.models[0]} {_family(found.first)}, {found.models[1]} {_family(found.second)}",
        smallest=min(found.models),
        few=_worded(found.few),
        saturated=sample.saturated,
        stand_in=other,
        reduced=sample.reduced,
    )


def _spread(claim: Claim, samples: Samples) -> Iterator[Verdict]:
    """NAS models nearer to each other than manual ones. without: models that the paper excepts."""
    without = {names.model(name) for name in claim.more.get("without", ())}
    for sample, other in _chosen(claim, samples):
        values = {model: own for model, own in sample.values.items() if model not in without}
        found = spread(values, sample.families, margin=CLOSER)
        ratio, low, high = (None if v is None or v <= 0 else math.log10(v) for v in (found.ratio, found.low, found.high))
        few = _worded(found.few) or ("" if ratio is not None else "a family does not vary at all")
        told = f"{found.models[0]} NAS, {found.models[1]} manual"
        yield Verdict(
            *(claim.key, sample.measure.title, sample.setting, -1, ratio, low, high, "ratio", found.p),
            p_short=found.p_margin,
            least=least_exchanged(*found.models),
            matters=-math.log10(CLOSER),
            models=told,
            smallest=min(found.models),
            few=few,
            saturated=sample.saturated,
            stand_in=other,
            reduced=sample.reduced,
            note="of mean distances from the family's median",
        )


def _below(claim: Claim, samples: Samples) -> Iterator[Verdict]:
    """Models of all families below a number, on average."""
    at = float(claim.more["at"])
    for sample, other in _chosen(claim, samples):
        yield _of_one(claim.key, sample, -1, at, other)


def _of_one(key: str, sample: Sample, sign: int, at: float, other: bool = False) -> Verdict:
    """Models of a sample against a number."""
    matters = _matters(sample.measure)
    found = against(sample.values, at, margin=sign * matters)
    return Verdict(
        *(key, sample.measure.title, sample.setting, sign, found.value, found.low, found.high),
        RATIOS[sample.measure.scale] if at == 0 else f"from {at:g}",
        found.p,
        p_short=found.p_margin,
        least=2.0 ** (1 - found.models),
        matters=matters,
        models=f"{found.models} models",
        few=_worded(found.few),
        stand_in=other,
        reduced=sample.reduced,
    )


def _grown(claim: Claim, samples: Samples) -> Iterator[Verdict]:
    """Fig. 12: NAS models after training above the same models before."""
    before, after = (samples.of(measure) for measure in claim.measures)
    for setting in [setting for setting in after if setting in before]:
        early, late = means(before[setting].values), means(after[setting].values)
        both = [model for model in late if model in early and after[setting].families[model] == "nas"]
        values = {model: [late[model] - early[model]] for model in both}
        measure = replace(claim.measures[1], title="gradient variance after training, by that before")
        yield replace(_of_one(claim.key, replace(after[setting], measure=measure, values=values), 1, 0.0), models=f"{len(both)} NAS")


def _ratio(claim: Claim, samples: Samples) -> Iterator[Verdict]:
    """NAS below manual by a factor: whether the ratio is that, by exchange, and on which side of it."""
    far = -math.log10(float(claim.more["by"]))
    for sample, other in _chosen(claim, samples):
        found = difference(sample.values, sample.families, margin=far)
        verdict = replace(_of_difference(claim.key, sample, -1, found, other), p=found.p_margin, at=far, matters=0.0, error=None)
        yield replace(verdict, note=f"×{10**far:.3g} was claimed")


def _through(claim: Claim, samples: Samples) -> Iterator[Verdict]:
    """Smaller by the probe, more vulnerable: τ of probe and vulnerability within families, over ways of attack."""
    for sample, other in _chosen(claim, samples):
        attacks = vulnerabilities(samples, sample.setting)
        found = connected([sample.values], [one.oriented for one in attacks], sample.families, margin=-TAU)
        yield _of_connection(claim, sample.setting, f"{sample.measure.title}, {_ways(len(attacks))}", -1, found, other, sample.reduced)


def _together(claim: Claim, samples: Samples) -> Iterator[Verdict]:
    """Remark 3: vulnerable to one way of attack, vulnerable to the others."""
    for setting in settings(samples):
        attacks = vulnerabilities(samples, setting)
        if len(attacks) > 1:
            families = {model: family for one in attacks for model, family in one.families.items()}
            found = connected([one.oriented for one in attacks], None, families, margin=TAU)
            yield _of_connection(claim, setting, f"each two of {_ways(len(attacks))}", 1, found, False, attacks[0].reduced)


def _of_connection(claim: Claim, setting: Setting, what: str, sign: int, found: Any, other: bool, reduced: str) -> Verdict:
    return Verdict(
        *(claim.key, what, setting, sign, found.value, found.low, found.high, "τ", found.p),
        p_short=found.p_margin,
        least=LEAST,
        matters=TAU,
        models=f"{found.models} models",
        few=_worded(found.few),
        stand_in=other,
        reduced=reduced,
        note="within families",
    )


def vulnerabilities(samples: Samples, setting: Setting) -> list[Sample]:
    """One sample a way of attack: of several attacks the first in claims.yaml that has models of both families, else the first."""
    first: dict[str, Sample] = {}
    for both in (True, False):
        for measure in catalogue()[1].values():
            sample = samples.of(measure).get(setting) if measure.of else None
            if sample and not sample.saturated and (not both or {"nas", "manual"} <= set(sample.families.values())):
                first.setdefault(measure.of, sample)
    return [first[of] for of in ATTACKS if of in first]


def settings(samples: Samples) -> list[Setting]:
    """Data sets and protocols of attacks, those with most ways of attack first."""
    count: dict[Setting, set[str]] = {}
    for measure in catalogue()[1].values():
        for setting in samples.of(measure) if measure.of else ():
            count.setdefault(setting, set()).add(measure.of)
    return sorted(count, key=lambda setting: (-len(count[setting]), setting))


def _theorem(claim: Claim, samples: Samples) -> Iterator[Verdict]:
    """On how many inputs the bound is broken. It is about normalised weights, and no row is of a model that has them."""
    for sample, _ in _chosen(claim, samples):
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


def _cells(claim: Claim, samples: Samples) -> Iterator[Verdict]:
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
        few=_worded(found.few),
        note=f"of the cells that are published, on no row of this study: percentile among {RANDOM_CELLS:,} random cells, less 50",
    )


@cache
def _random(nodes: int, fact: str) -> tuple[float, ...]:
    return tuple(float(getattr(one.normal, fact)) for one in random_genotypes(nodes, RANDOM_CELLS))


def _variants(claim: Claim, samples: Samples) -> Iterator[Verdict]:
    """Variants of DARTS, each by itself against DARTS, another, or manual models: each search is one model."""
    sign = int(claim.more["sign"])
    for first, second in claim.more["pairs"]:
        if not claim.measures:
            yield from _of_searches(claim, samples.collected, first, second, sign)
        for sample, other in _chosen(claim, samples):
            manual = {names.plain(found.model) for found in sample.rows if found.family == "manual"}
            own = {names.plain(name): name for name in (first, second)} | dict.fromkeys(manual, "manual")
            families = {model: own.get(name, name) for model, name in sample.families.items()}
            if first in families.values():
                told = replace(sample.measure, title=_pair(first, second, sample.measure.title))
                named = replace(sample, measure=told, families=families)
                yield _between(claim.key, named, sign * sample.measure.sign, other, first, second)


def _pair(first: str, second: str, title: str) -> str:
    """ "DARTS-i: PGD, most likely"; against what, where it is not DARTS."""
    return f"{names.model(first)}{'' if second == 'darts' else f' against {_family(second)}'}: {title}"


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
            yield replace(_between(claim.key, sample, sign, first=first, second=second), reduced=reduced)


def _shared(claim: Claim, samples: Samples) -> Iterator[Verdict]:
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
        verdict = _of_difference(claim.key, Sample(measure, setting, {}, {}, tuple(rows)), 1, found, goal != papers)
        nas, manual = found.mean
        within = "" if nas is None or manual is None else f": {nas:.2g} within NAS, {manual:.2g} within manual models"
        yield replace(verdict, note=f"φ over {every[0].n} inputs{within}")


def _hardened(claim: Claim, samples: Samples) -> Iterator[Verdict]:
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
                yield replace(_between(claim.key, sample, 1), note=method)


def _worded(few: str) -> str:
    """With families as they are called in print."""
    return re.sub(r"\b(nas|darts\w*)\b", lambda found: _family(found[1]), few)


def _family(name: str) -> str:
    return names.FAMILIES[name].title if name in names.FAMILIES else names.model(name)


def _ways(n: int) -> str:
    return f"{n} ways of attack" if n != 1 else "one way of attack"


def _tuples(told: Mapping[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in told.items()}


def strongest(verdicts: Sequence[Verdict]) -> Verdict | None:
    """Of Remark 1's tests with a number, that whose p is smallest, then whose gap is largest."""
    own = {claim.key for claim in catalogue()[0] if claim.remark == "Remark 1"}
    there = [v for v in verdicts if v.key in own and v.value is not None and v.p is not None and not v.saturated]
    return min(there, key=lambda v: (v.p if v.p is not None else 1.0, -abs(v.value or 0.0)), default=None)


_TESTS: Mapping[str, Callable[[Claim, Samples], Iterator[Verdict]]] = {
    "more": _families,
    "less": _families,
    "spread": _spread,
    "below": _below,
    "ratio": _ratio,
    "grown": _grown,
    "through": _through,
    "together": _together,
    "theorem": _theorem,
    "cells": _cells,
    "variants": _variants,
    "shared": _shared,
    "hardened": _hardened,
}
