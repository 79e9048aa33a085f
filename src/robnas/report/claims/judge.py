"""Every claim under every data set and protocol."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from robnas.report.claims import cells, connections, families, single
from robnas.report.claims.catalogue import Claim, catalogue
from robnas.report.collected import Collected
from robnas.report.samples import Samples
from robnas.report.samples import samples as of_study
from robnas.report.verdicts import Verdict, corrected


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


def strongest(verdicts: Sequence[Verdict]) -> Verdict | None:
    """Of Remark 1's tests with a number, that whose p is smallest, then whose gap is largest."""
    own = {claim.key for claim in catalogue()[0] if claim.remark == "Remark 1"}
    there = [v for v in verdicts if v.key in own and v.value is not None and v.p is not None and not v.saturated]
    return min(there, key=lambda v: (v.p if v.p is not None else 1.0, -abs(v.value or 0.0)), default=None)


_TESTS: Mapping[str, Callable[[Claim, Samples], Iterator[Verdict]]] = {
    "more": families.families,
    "less": families.families,
    "spread": families.nearer,
    "below": families.below,
    "ratio": families.ratio,
    "grown": families.grown,
    "through": connections.through,
    "together": connections.together,
    "theorem": single.theorem,
    "cells": cells.cells,
    "variants": cells.variants,
    "shared": single.shared,
    "hardened": single.hardened,
}
