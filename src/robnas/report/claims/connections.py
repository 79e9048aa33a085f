"""Claims on what goes together: a probe and vulnerability, or several ways of attack."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from robnas.comparison import connected
from robnas.comparison.connection import LEAST
from robnas.report.claims.catalogue import Claim, catalogue
from robnas.report.claims.families import chosen, worded
from robnas.report.samples import Sample, Samples, Setting
from robnas.report.verdicts import Verdict

ATTACKS = ("white box", "black box", "poisoning", "backdoor", "stealing", "membership")
"""Ways to attack (§2.2, §3.2), which count alike."""
TAU = 0.2
"""A τ below this is too weak to be called a connection."""


def through(claim: Claim, samples: Samples) -> Iterator[Verdict]:
    """Smaller by the probe, more vulnerable: τ of probe and vulnerability within families, over ways of attack."""
    for sample, other in chosen(claim, samples):
        attacks = vulnerabilities(samples, sample.setting)
        found = connected([sample.values], [one.oriented for one in attacks], sample.families, margin=-TAU)
        yield _of_connection(claim, sample.setting, f"{sample.measure.title}, {_ways(len(attacks))}", -1, found, other, sample.reduced)


def together(claim: Claim, samples: Samples) -> Iterator[Verdict]:
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
        few=worded(found.few),
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


def _ways(n: int) -> str:
    return f"{n} ways of attack" if n != 1 else "one way of attack"
