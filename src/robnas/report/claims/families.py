"""Claims on families of models: one above another, or nearer to each other, or on one side of a number."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace

from robnas.comparison import Difference, against, difference, least_exchanged, means, spread
from robnas.report import names
from robnas.report.claims.catalogue import Claim
from robnas.report.samples import Measure, Sample, Samples, Setting
from robnas.report.verdicts import Verdict

CLOSER = 0.8
"""Spreads whose ratio is not below this differ too little to matter."""
RATIOS: Mapping[str, str] = {"log": "ratio", "points": "points", "plain": ""}


def chosen(claim: Claim, samples: Samples) -> Iterator[tuple[Sample, bool]]:
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


def families(claim: Claim, samples: Samples) -> Iterator[Verdict]:
    """NAS above, or below, manual."""
    sign = 1 if claim.test == "more" else -1
    for sample, other in chosen(claim, samples):
        turned = bool(claim.measures) and sample.measure.sign != claim.measures[0].sign  # a stand-in that counts the other way round
        yield between(claim.key, sample, -sign if turned else sign, other)


def between(key: str, sample: Sample, sign: int, other: bool = False, first: str = "nas", second: str = "manual") -> Verdict:
    """One family above, or below, another."""
    found = difference(sample.values, sample.families, first, second, margin=sign * matters(sample.measure))
    return of_difference(key, sample, sign, found, other)


def matters(measure: Measure) -> float:
    """In the unit of the test."""
    return math.log10(measure.matters) if measure.scale == "log" and measure.matters else measure.matters


def of_difference(key: str, sample: Sample, sign: int, found: Difference, other: bool) -> Verdict:
    """sign: 1 where the claim says that the first family is above; other: the measure stands in for the paper's."""
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
        matters=matters(measure),
        error=found.error,
        freedom=found.freedom,
        models=f"{found.models[0]} {family(found.first)}, {found.models[1]} {family(found.second)}",
        smallest=min(found.models),
        few=worded(found.few),
        saturated=sample.saturated,
        stand_in=other,
        reduced=sample.reduced,
    )


def nearer(claim: Claim, samples: Samples) -> Iterator[Verdict]:
    """NAS models nearer to each other than manual ones. without: models that the paper excepts."""
    without = {names.model(name) for name in claim.more.get("without", ())}
    for sample, other in chosen(claim, samples):
        values = {model: own for model, own in sample.values.items() if model not in without}
        found = spread(values, sample.families, margin=CLOSER)
        ratio, low, high = (None if v is None or v <= 0 else math.log10(v) for v in (found.ratio, found.low, found.high))
        few = worded(found.few) or ("" if ratio is not None else "a family does not vary at all")
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


def below(claim: Claim, samples: Samples) -> Iterator[Verdict]:
    """Models of all families below a number, on average."""
    at = float(claim.more["at"])
    for sample, other in chosen(claim, samples):
        yield of_one(claim.key, sample, -1, at, other)


def of_one(key: str, sample: Sample, sign: int, at: float, other: bool = False) -> Verdict:
    """Models of a sample against a number."""
    least = matters(sample.measure)
    found = against(sample.values, at, margin=sign * least)
    return Verdict(
        *(key, sample.measure.title, sample.setting, sign, found.value, found.low, found.high),
        RATIOS[sample.measure.scale] if at == 0 else f"from {at:g}",
        found.p,
        p_short=found.p_margin,
        least=2.0 ** (1 - found.models),
        matters=least,
        models=f"{found.models} models",
        few=worded(found.few),
        stand_in=other,
        reduced=sample.reduced,
    )


def grown(claim: Claim, samples: Samples) -> Iterator[Verdict]:
    """Fig. 12: NAS models after training above the same models before."""
    before, after = (samples.of(measure) for measure in claim.measures)
    for setting in [setting for setting in after if setting in before]:
        early, late = means(before[setting].values), means(after[setting].values)
        both = [model for model in late if model in early and after[setting].families[model] == "nas"]
        values = {model: [late[model] - early[model]] for model in both}
        measure = replace(claim.measures[1], title="gradient variance after training, by that before")
        yield replace(of_one(claim.key, replace(after[setting], measure=measure, values=values), 1, 0.0), models=f"{len(both)} NAS")


def ratio(claim: Claim, samples: Samples) -> Iterator[Verdict]:
    """NAS below manual by a factor: whether the ratio is that, by exchange, and on which side of it."""
    far = -math.log10(float(claim.more["by"]))
    for sample, other in chosen(claim, samples):
        found = difference(sample.values, sample.families, margin=far)
        verdict = replace(of_difference(claim.key, sample, -1, found, other), p=found.p_margin, at=far, matters=0.0, error=None)
        yield replace(verdict, note=f"×{10**far:.3g} was claimed")


def worded(few: str) -> str:
    """With families as they are called in print."""
    return re.sub(r"\b(nas|darts\w*)\b", lambda found: family(found[1]), few)


def family(name: str) -> str:
    """In print; a variant of DARTS is one here, too."""
    return names.FAMILIES[name].title if name in names.FAMILIES else names.model(name)
