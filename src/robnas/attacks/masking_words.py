"""What masking checks found, in plain words, for below a table. Torch-free."""

from __future__ import annotations

from collections.abc import Iterable
from math import isfinite
from typing import Any

from robnas.attacks.masking import FLAGS, Finding, block, everywhere
from robnas.attacks.masking_rows import applicable, origin
from robnas.results import Row

WHY = "gradients may be masked"
SAYS = {
    "random": "the model answers the same input differently each time (dropout left on?): numbers vary, and attacks need `eot`",
    "probabilities": "the model answers with probabilities (a softmax as output?): attacks expect logits before it",
    "no gradient": "input gradients are zero: an attack that follows them goes nowhere",
    "one class only": "the model answers one class, whatever it is shown",
    "class never predicted": "the model never answers one of its classes: a goal that may be unreachable",
    "second is last class": "of two classes the least likely is also the most likely: both goals are one",
    "nothing attacked": "no input was attacked, as the model gets none right: there is no success rate",
}
"""Flag → what it means."""


def said(rows: Iterable[Row]) -> list[str]:
    """A line for each contradiction, for each flag of a victim, and one for the checks that were not made."""
    victims: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        if applicable(row) and row.metric == "asr":
            victims.setdefault(origin(row), []).append(row)
    out = []
    for mine in victims.values():
        model = f"{mine[0].model}: " if len(victims) > 1 else ""
        out += [model + line for line in (*_doubts(mine), *_contradictions(mine), *_missing(mine))]
    return out


def _contradictions(rows: list[Row]) -> list[str]:
    """The same of several radii is one line, with the most telling numbers; so is the same of several attacks.

    A control is named only where nothing is said of the attack that it belongs to.
    """
    groups: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        for check, finding in row.checks.items():
            if finding.get("flagged"):
                groups.setdefault((row.plugin, check, block(row)), []).append(row)
    least: dict[tuple[str, str], int] = {}
    for (plugin, check, _), some in groups.items():
        least[plugin, check] = min(_rank(some[0]), least.get((plugin, check), 2))
    lines: dict[str, list[str]] = {}
    for (plugin, check, who), some in groups.items():
        if _rank(some[0]) == least[plugin, check]:
            worst = min((row.checks[check] for row in some), key=lambda f: (f.get("p", 0), -f.get("standing", 0)))
            balls = ", ".join(dict.fromkeys(_ball(row) for row in some))
            lines.setdefault(f"{FLAGS[check]}{_why(check, worst)}.", []).append(f"{who}{f' at ε = {balls}' if balls else ''}")
    return [f"{'; '.join(who)}: {what}" for what, who in lines.items()]


def _rank(row: Row) -> int:
    """0: an attack; 1: its twin among controls; 2: another control."""
    return 0 if "control" not in row.params else 1 if row.params["control"] == "itself" else 2


def _why(check: str, f: Finding) -> str:
    if check == "unbounded":
        return f": {f['standing']} of {f['n']} inputs stand where every image is allowed; the attack fails, {WHY}"
    if check == "noise":
        return f" ({f['against']}): {f['better']} inputs are broken by the attack alone, {f['worse']} by noise alone; {WHY}"
    other = f", stronger on {f['better']}" if f["better"] else ""
    return f" ({f['against']}) on {f['worse']} inputs{other}, p = {f['p']:.2g}; {WHY}"


def _doubts(rows: list[Row]) -> list[str]:
    """What the victims' own flags mean, once each."""
    found: dict[str, list[str]] = {}
    for row in rows:
        for flag in row.flags:
            if flag in SAYS:
                found.setdefault(flag, []).append(_whole(row))
    every = {_whole(row) for row in rows}
    return [f"{'' if set(who) == every else ', '.join(dict.fromkeys(who)) + ': '}{SAYS[flag]}." for flag, who in found.items()]


def _whole(row: Row) -> str:
    """The block, for all of its controls."""
    return block(row).removesuffix(f".{row.params['control']}") if "control" in row.params else block(row)


def _missing(rows: list[Row]) -> list[str]:
    """An attack's checks count as made if any of its rows was. Nothing is missed of what is there for others: noise, and no bound."""
    missing: dict[str, set[str]] = {}
    for row in rows:
        if "control" not in row.params and row.plugin != "noise" and not everywhere(row):
            lacks = set(applicable(row)) - set(row.checks)
            missing[block(row)] = missing.get(block(row), lacks) & lacks
    groups: dict[tuple[str, ...], list[str]] = {}
    for who, lacks in missing.items():
        if lacks:
            groups.setdefault(tuple(check for check in FLAGS if check in lacks), []).append(who)
    if not groups:
        return []
    each = "; ".join(f"{', '.join(who)}: {', '.join(lacks)}" for lacks, who in groups.items())
    return [f"Masking checks not made of {each}. masking.yaml makes them of the attack that it is given."]


def _ball(row: Row) -> str:
    eps = row.params.get("eps")
    if not isinstance(eps, int | float) or not isfinite(eps):
        return ""
    return f"{eps * 255:.3g}/255" if row.norm == "linf" else f"{eps:.3g}"
