"""What a study found, in a sentence with its interval, and what must be known beside it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from robnas.comparison import Matched, Superiority, matched, means, superiority
from robnas.report import names, own
from robnas.report.claims import settings, strongest, vulnerabilities
from robnas.report.collected import Collected
from robnas.report.paper.over_seeds import over_seeds
from robnas.report.paper.variants import undefended
from robnas.report.samples import Sample, Samples, Setting
from robnas.report.samples import samples as of_study
from robnas.report.verdicts import DOES_NOT, HOLDS, UNMET, Verdict, said

NEAR: Mapping[str, tuple[str, float]] = {
    "parameters": ("parameters within a factor of 1.5", math.log2(1.5)),
    "accuracy": ("clean accuracy within a point", 0.01),
}
"""Metric of training → how near a pair is, in words and in its unit (parameters: log₂)."""


def sentences(collected: Collected, verdicts: Sequence[Verdict]) -> list[str]:
    """The finding first; "" never. verdicts: from `claims.judge`."""
    if not collected.of_families and (said := own.sentences(collected)):
        return said
    samples = of_study(collected)
    places = settings(samples)
    if not places:
        return ["No attack has been made yet, so there is nothing to find."]
    setting = max(places, key=lambda s: (len(vulnerabilities(samples, s)), -places.index(s)))
    attacks = vulnerabilities(samples, setting)
    families = {model: family for one in attacks for model, family in one.families.items()}
    found = superiority([one.oriented for one in attacks], families)
    first = headline(found, setting, attacks)
    rest = [
        _strongest(verdicts, setting),
        _matched(collected, samples, setting),
        _claims(verdicts),
        _impossible(verdicts),
        _reduced(attacks),
    ]
    return [first, *filter(None, rest)]


def headline(found: Superiority, setting: Setting, attacks: Sequence[Sample]) -> str:
    """ "NAS models are more vulnerable than manual ones in 71% [58, 84] of pairs (…)"."""
    where = f"on {names.data(setting[0])} by the {setting[1]} protocol"
    if found.value is None or found.low is None or found.high is None or found.p is None:
        why = found.few.replace(" nas", " NAS") or "no attack on both families"
        return f"Whether NAS made models easier to break cannot be said {where}: {why}."
    share = f"{100 * found.value:.0f}% [{100 * found.low:.0f}, {100 * found.high:.0f}] of pairs"
    ways = ", ".join(one.measure.of for one in attacks)
    of = f"{found.models[0]} NAS and {found.models[1]} manual architectures, {ways}; p = {found.p:.2g}"
    apart = found.p <= 0.05 and not found.low <= 0.5 <= found.high
    if not apart:
        return f"No difference is shown: the NAS model is the more vulnerable one in {share} {where}, where 50% is chance ({of})."
    more = "more" if found.value > 0.5 else "less"
    return f"NAS models are {more} vulnerable than manual ones: the NAS model is the more vulnerable one in {share} {where} ({of})."


def _strongest(verdicts: Sequence[Verdict], setting: Setting) -> str:
    found = strongest([v for v in verdicts if v.setting == setting])
    if found is None:
        return ""
    adjusted = "" if found.adjusted is None else f", {found.adjusted:.2g} among {found.tests} tests"
    seen = (
        f" A gap of {said(found.detectable, found.unit).lstrip('+')} would have been seen four times in five."
        if found.detectable is not None
        else ""
    )
    return f"Of single attacks the clearest is {found.what}: NAS {found.number} against manual (p = {found.p:.2g}{adjusted}).{seen}"


def _matched(collected: Collected, samples: Samples, setting: Setting) -> str:
    """At equal size and at equal clean accuracy: of all ways of attack together, as ranks."""
    attacks = vulnerabilities(samples, setting)
    families = {model: family for one in attacks for model, family in one.families.items()}
    ranks = _ranks(attacks)
    parts = []
    for metric, (words, within) in NEAR.items():
        rows = [f for f in collected.select(metric=metric, kind="train") if f.dataset == setting[0] and undefended(f) and not f.treatment]
        by = {who.title: worth.value for who, worth in over_seeds(rows).items()}
        by = {m: math.log2(v) for m, v in by.items() if v > 0} if metric == "parameters" else by
        parts += [f"{words}: {_in_pairs(found)}"] if (found := matched(ranks, families, by, within)).of else []
    return "" if not parts else f"Matched, NAS less manual in mean rank of vulnerability (0 to 100): {'; '.join(parts)}."


def _in_pairs(found: Matched) -> str:
    if found.value is None or found.low is None or found.high is None:
        return f"{len(found.pairs)} of {found.of} pairs can be made, which is too few"
    return f"{found.value:+.0f} [{found.low:.0f}, {found.high:.0f}] in {len(found.pairs)} pairs (p = {found.p:.2g})".replace("-", "−")


def _ranks(attacks: Sequence[Sample]) -> dict[str, list[float]]:
    """Model → mean over ways of attack of its rank among all, 0 the least and 100 the most vulnerable, ties in the middle."""
    of: dict[str, list[float]] = {}
    for one in attacks:
        found = means(one.oriented)
        values = np.array(list(found.values()))
        for model, value in found.items():
            rank = ((values < value).sum() + ((values == value).sum() - 1) / 2) / max(1, len(values) - 1)
            of.setdefault(model, []).append(100 * float(rank))
    return {model: [float(np.mean(ranks))] for model, ranks in of.items()}


def _claims(verdicts: Sequence[Verdict]) -> str:
    made = [v for v in verdicts if v.made and v.verdict != UNMET]
    if not made:
        return "None of the paper's claims can be tested with so few models." if any(v.few != "no rows" for v in verdicts) else ""
    holds, does_not = (sum(v.verdict == word for v in made) for word in (HOLDS, DOES_NOT))
    unknown = len(made) - holds - does_not
    tests = "test" if len(made) == 1 else "tests"
    parts = (f"{holds} hold{'s' * (holds == 1)}", f"{does_not} do{'es' * (does_not == 1)} not", f"and {unknown} cannot be told")
    return f"Of the paper's claims {len(made)} {tests} could be made: {', '.join(parts)}."


def _impossible(verdicts: Sequence[Verdict]) -> str:
    """ "With 5 NAS and 4 manual models no p below 0.17 after correction over 21 tests is possible: nothing can hold, nor be refuted." """
    made = [v for v in verdicts if v.made and v.verdict != UNMET]
    lost = [v for v in made if v.impossible]
    if not lost:
        return ""
    counted = Counter(v.models for v in lost)
    most = max(counted, key=lambda who: counted[who])
    models = most.replace(", ", " and ")
    least = min(v.possible for v in lost if v.possible is not None and v.models == most)
    text = (
        f"With {models} {'' if models.endswith('models') else 'models '}no p below {least:.2g} after correction over {lost[0].tests} tests"
    )
    what = "nothing can hold, nor be refuted" if len(lost) == len(made) else f"{len(lost)} of them can neither hold nor be refuted"
    return f"{text} is possible: {what}."


def _reduced(attacks: Sequence[Sample]) -> str:
    why = list(dict.fromkeys(one.reduced for one in attacks if one.reduced))
    return f"At reduced size ({'; '.join(why)}): it says what these models do, not what the paper's would." if why else ""
