"""The claims of the paper as two tables: each claim under each protocol at a glance, and every test with its numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from robnas.report import names
from robnas.report.claims import Claim, catalogue
from robnas.report.exhibit import Cell, Entry, Exhibit, Table
from robnas.report.paper.variants import by_setting
from robnas.report.verdicts import DOES_NOT, HOLDS, UNKNOWN, UNMET, Verdict, said

MARKS = {HOLDS: "✓ holds", DOES_NOT: "✗ does not", UNKNOWN: "? not enough data", UNMET: "○ premise not met"}
"""A sign beside the word: colour is not needed."""


def exhibits(verdicts: Sequence[Verdict], daggers: bool = True) -> list[Exhibit]:
    """From `claims.judge`: tests that came to a number; `untested` has the others. daggers: whether what is reduced is marked."""
    made = [v if daggers else replace(v, reduced="") for v in verdicts if v.made]
    of_data = [v for v in verdicts if v.of_data]
    return ([at_a_glance(made), in_full(made)] if made else []) + ([of_cells(of_data)] if of_data else [])


def untested(verdicts: Sequence[Verdict]) -> list[str]:
    """Claims of which no test came to a number, a line each, with why."""
    out = []
    for claim in catalogue()[0]:
        own = [v for v in verdicts if v.key == claim.key]
        if own and not any(v.value is not None for v in own):
            why = "; ".join(dict.fromkeys(v.why for v in own))
            by = "; ".join(dict.fromkeys(v.what for v in own if v.what != "–"))
            out.append(f"{_words(claim)}, {claim.where}{f', by {by}' if by else ''}: {why}")
    return out


def at_a_glance(verdicts: Sequence[Verdict]) -> Exhibit:
    """A row a claim, a column a data set and protocol. Of several measures all must hold, or none."""
    settings = sorted({v.setting for v in verdicts}, key=by_setting)
    claims = [claim for claim in catalogue()[0] if any(v.key == claim.key for v in verdicts)]
    rows: list[tuple[Entry, ...]] = []
    for claim in claims:
        own = [v for v in verdicts if v.key == claim.key]
        rows.append((_words(claim), claim.where, *(_cell([v for v in own if v.setting == setting]) for setting in settings)))
    heads = [f"{names.data(data)}, {protocol}" for data, protocol in settings]
    tests = max((v.tests for v in verdicts), default=0)
    judged = (
        f"A claim holds where its test is significant at 5% after Holm's correction over all {tests} tests of the study. It does not where "
        "the test that the gap is as large as would matter is so, likewise among as many: the chance of one false “holds” in the whole "
        "study is 5% at most, and that of one false “does not”. Else the data do not suffice to say, which is no evidence against a claim. "
    )
    theorem = " A theorem about normalised weights is not tested by models whose weights are not." * any(v.decided for v in verdicts)
    caption = (
        judged
        * bool(tests)
        + "Architectures are the sample: seeds of one model are averaged. DARTS-i, -ii, -iii count as no NAS models but in §5.2's own "
        "claims." + theorem + _signs(verdicts)
    )
    blocks = tuple(claim.remark for claim in claims)
    return Exhibit("claims", "", "Claims of the paper", caption, table=Table(("claim", "where", *heads), tuple(rows), blocks))


def of_cells(verdicts: Sequence[Verdict]) -> Exhibit:
    """Remark 4, from the cells that are published."""
    claims = {claim.key: claim for claim in catalogue()[0]}
    rows = tuple((_words(claims[v.key]), claims[v.key].where, _cell([v]), _p(v.adjusted)) for v in verdicts)
    caption = (
        "Nine published normal cells, each by its percentile among random cells of its own space, less 50: data that come with robnas, and "
        "no test of this study's models or rows. 95% over cells; p by Holm among these tests."
    )
    heads = ("claim", "where", "published cells", "p (Holm)")
    return Exhibit(
        "claims-cells",
        "",
        "Published cells among random ones",
        caption,
        table=Table(heads, rows),
    )


def _signs(verdicts: Sequence[Verdict]) -> str:
    other = " * another attack or probe than the paper's." if any(v.stand_in for v in verdicts) else ""
    return other + (" † at reduced size." if any(v.reduced for v in verdicts) else "")


def _cell(verdicts: Sequence[Verdict]) -> str:
    if not verdicts:
        return "–"
    found = list(dict.fromkeys(v.verdict for v in verdicts))
    star, dagger = "*" * any(v.stand_in for v in verdicts), "†" * any(bool(v.reduced) for v in verdicts)
    if len(found) == 1:
        numbers = "; ".join(v.number if len(verdicts) == 1 else f"{v.what} {v.number}" for v in verdicts if v.number)
        return f"{MARKS[found[0]]}{star}{dagger}" + (f": {numbers}" if numbers else "")
    return "; ".join(f"{MARKS[v.verdict]} by {v.what}{star}{dagger}" + (f": {v.number}" if v.number else "") for v in verdicts)


def in_full(verdicts: Sequence[Verdict]) -> Exhibit:
    """Every test with its number."""
    claims = {claim.key: claim for claim in catalogue()[0]}
    columns = (
        "claim",
        "measured by",
        "data, protocol",
        "verdict",
        "gap",
        "p",
        "p (Holm)",
        "p of too small (Holm)",
        "gap that would be seen",
        "models",
        "why",
    )
    rows: list[tuple[Entry, ...]] = []
    for v in verdicts:
        where = ", ".join((names.data(v.setting[0]), v.setting[1]))
        gap = Cell(v.value, text=v.number) if v.value is not None else "–"
        detectable: Entry = f"none: no p below {v.possible:.2g} is possible" if v.impossible else "–"
        if v.detectable is not None:
            detectable = Cell(v.detectable, text=said(v.detectable, v.unit).lstrip("+"))
        rows.append(
            (
                _words(claims[v.key]),
                v.what + "*" * v.stand_in + "†" * bool(v.reduced),
                where,
                MARKS[v.verdict],
                gap,
                _p(v.p),
                _p(v.adjusted),
                _p(v.short_adjusted),
                detectable,
                v.models or "–",
                "; ".join(filter(None, (v.why, v.note if v.note != v.why else ""))) or "–",
            )
        )
    about = {
        "gap": "NAS less manual, or as the claim has it; points of percent, factors (×), or the measure's own unit; 95% over models",
        "p": "two-sided, by exact exchange of models between families where there are few enough exchanges",
        "p (Holm)": "the same among all tests of the study: at most 0.05, and the claim holds",
        "p of too small (Holm)": "that the gap is as large as would matter, among all such tests: at most 0.05, and the claim does not",
        "gap that would be seen": "smallest difference that so many models with such a spread show, after Holm, with probability 80%",
    }
    blocks = tuple(claims[v.key].remark for v in verdicts)
    caption = f"Every test behind the table above.{_signs(verdicts)}"
    return Exhibit("claims-tests", "", "Claims, test by test", caption, table=Table(columns, tuple(rows), blocks, about), folded=True)


def _p(p: float | None) -> Entry:
    return "–" if p is None else Cell(p, text=f"{p:.2g}" if p >= 0.001 else "< 0.001")


def _words(claim: Claim) -> str:
    return f"“{claim.said}”" + (f" ({claim.meaning})" if claim.meaning else "")
