"""The claims of the paper as two tables: each claim under each protocol at a glance, and every test with its numbers."""

from __future__ import annotations

from collections.abc import Sequence

from robnas.report import names
from robnas.report.claims import Claim, catalogue
from robnas.report.exhibit import Cell, Entry, Exhibit, Table
from robnas.report.paper.variants import by_setting
from robnas.report.verdicts import DOES_NOT, HOLDS, UNKNOWN, Verdict, said

MARKS = {HOLDS: "✓ holds", DOES_NOT: "✗ does not", UNKNOWN: "? not enough data"}
"""A sign beside the word: colour is not needed."""


def exhibits(verdicts: Sequence[Verdict]) -> list[Exhibit]:
    """From `claims.judge`."""
    return [at_a_glance(verdicts), in_full(verdicts)]


def at_a_glance(verdicts: Sequence[Verdict]) -> Exhibit:
    """A row a claim, a column a data set and protocol. Of several measures all must hold, or none."""
    settings = sorted({v.setting for v in verdicts if v.setting != ("", "")}, key=by_setting)
    rows: list[tuple[Entry, ...]] = []
    for claim in catalogue()[0]:
        own = [v for v in verdicts if v.key == claim.key]
        anywhere = [v for v in own if v.setting == ("", "") and v.value is not None]
        cells = [_cell([v for v in own if v.setting == setting] or anywhere) for setting in settings] or [_cell(anywhere)]
        rows.append((_words(claim), claim.where, *cells))
    heads = [f"{names.data(data)}, {protocol}" for data, protocol in settings] or ["this study"]
    tests = max((v.tests for v in verdicts), default=0)
    caption = (
        f"A claim holds where its test is significant at 5% after Holm's correction over all {tests} tests of the study. It does not where "
        "it "
        "is so the other way round, or where the 95% interval leaves no room for a gap that would matter; else the data do not suffice to "
        "say. Architectures are the sample: seeds of one model are averaged. DARTS-i, -ii, -iii count as no NAS models but in §5.2's own "
        "claims. * another attack or probe than the paper's. † at reduced size."
    )
    blocks = tuple(claim.remark for claim in catalogue()[0])
    return Exhibit("claims", "", "Claims of the paper", caption, table=Table(("claim", "where", *heads), tuple(rows), blocks))


def _cell(verdicts: Sequence[Verdict]) -> str:
    if not verdicts:
        return MARKS[UNKNOWN]
    found = list(dict.fromkeys(v.verdict for v in verdicts))
    star, dagger = "*" * any(v.stand_in for v in verdicts), "†" * any(bool(v.reduced) for v in verdicts)
    if len(found) == 1:
        numbers = "; ".join(v.number for v in verdicts if v.number)
        return f"{MARKS[found[0]]}{star}{dagger}" + (f": {numbers}" if numbers else "")
    return "; ".join(f"{MARKS[v.verdict]} by {v.what}{star}{dagger}" + (f": {v.number}" if v.number else "") for v in verdicts)


def in_full(verdicts: Sequence[Verdict]) -> Exhibit:
    """Every test, also those for which there are no rows."""
    claims = {claim.key: claim for claim in catalogue()[0]}
    columns = ("claim", "measured by", "data, protocol", "verdict", "gap", "p", "p (Holm)", "gap that would be seen", "models", "why")
    rows: list[tuple[Entry, ...]] = []
    for v in verdicts:
        where = ", ".join((names.data(v.setting[0]), v.setting[1])) if v.setting != ("", "") else "–"
        gap = Cell(v.value, text=v.number) if v.value is not None else "–"
        detectable = Cell(v.detectable, text=said(v.detectable, v.unit).lstrip("+")) if v.detectable is not None else "–"
        rows.append(
            (
                _words(claims[v.key]),
                v.what + "*" * v.stand_in + "†" * bool(v.reduced),
                where,
                MARKS[v.verdict],
                gap,
                _p(v.p),
                _p(v.adjusted),
                detectable,
                v.models or "–",
                "; ".join(filter(None, (v.why, v.note if v.note != v.why else ""))) or "–",
            )
        )
    about = {
        "gap": "NAS less manual, or as the claim has it; points of percent, factors (×), or the measure's own unit; 95% over models",
        "p": "two-sided, by exact exchange of models between families where there are few enough exchanges",
        "p (Holm)": "the same among all tests of the study",
        "gap that would be seen": "smallest difference that so many models with such a spread show with probability 80%",
    }
    blocks = tuple(claims[v.key].remark for v in verdicts)
    caption = "Every test behind the table above. * another attack or probe than the paper's. † at reduced size."
    return Exhibit("claims-tests", "", "Claims, test by test", caption, table=Table(columns, tuple(rows), blocks, about))


def _p(p: float | None) -> Entry:
    return "–" if p is None else Cell(p, text=f"{p:.2g}" if p >= 0.001 else "< 0.001")


def _words(claim: Claim) -> str:
    return f"“{claim.said}”" + (f" ({claim.meaning})" if claim.meaning else "")
