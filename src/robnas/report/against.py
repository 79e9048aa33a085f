"""Ours against the paper's: every number that it prints, with ours for the same data set beside it where there is one."""

from __future__ import annotations

from collections.abc import Callable

from robnas.report import names
from robnas.report.collected import Collected, Found, Published
from robnas.report.exhibit import Cell, Entry, Exhibit, Table, number
from robnas.report.matrix import cell

SHARES = ("accuracy", "asr_most_likely", "asr_least_likely", "backdoor_asr", "backdoor_cad")
"""Metrics of published.csv that are proportions."""
TITLES = {
    "accuracy": "accuracy, %",
    "ace": "ACE",
    "asr_most_likely": "ASR, most likely, %",
    "asr_least_likely": "ASR, least likely, %",
    "backdoor_asr": "backdoor ASR, %",
    "backdoor_cad": "backdoor CAD, %",
    "membership_auc": "membership AUC",
    "depth|width|skips": "depth, width, skips",
}


def exhibit(collected: Collected) -> Exhibit:
    """One row a published number; the data sets of the study's own that the paper has no numbers of are said in the caption."""
    rows: list[tuple[Entry, ...]] = []
    shown = 0
    for line in collected.published:
        if line.metric == "depth|width|skips":
            continue  # Table 3 is of cells, not of models that were trained: it has a table of its own
        ours = _ours(collected, line)
        shown += ours is not None
        share = 100.0 if line.metric in SHARES else 1.0
        theirs = Cell(share * line.values[0], text=f"{share * line.values[0]:.{1 if share > 1 else 3}f}", note=line.note)
        rows.append(
            (
                _subject(line),
                line.where,
                names.data(line.dataset),
                TITLES.get(line.metric, line.metric),
                theirs,
                ours,
                _difference(theirs, ours),
            )
        )
    about = {
        "published": "as the paper prints it; it gives no intervals",
        "ours": "on the same data set; any protocol, mean over seeds with its 95% interval",
        "difference": "ours less published; in points where it is a percentage; with the interval of ours",
    }
    there = sorted({names.data(found.dataset) for found in collected.rows if found.dataset})
    without = [title for key, title in names.DATA.items() if key not in names.PAPERS_DATA and title in there]
    caption = (
        "Published values have no intervals, and their models come from one training each as far as the paper says. Ours stands beside "
        "them on the same data set alone. Hatched: this study has no such row."
        + (f" The paper has no numbers on {', '.join(without)}: none of those rows is comparable." if without else "")
    )
    missing = "" if shown == len(rows) else f"{len(rows) - shown} of {len(rows)} published numbers have none of ours beside them"
    table = Table(("model", "where", "data", "what", "published", "ours", "difference"), tuple(rows), about=about)
    return Exhibit("published", "", "Ours against published", caption, table=table, missing=missing)


def _subject(line: Published) -> str:
    return names.model(line.model) if line.model else line.subject


def _ours(collected: Collected, line: Published) -> Cell | None:
    find = _FINDERS.get(line.metric)
    rows = find(collected, line) if find else []
    return cell(rows, "asr" if line.metric in SHARES else line.metric) if rows else None


def _difference(theirs: Cell, ours: Cell | None) -> Cell | None:
    if ours is None or ours.value is None or theirs.value is None:
        return None
    value = ours.value - theirs.value
    low, high = (None if end is None else end - theirs.value for end in (ours.low, ours.high))
    return Cell(value, low, high, f"{'+' if value > 0 else ''}{number(value)}", ours.flags, note=ours.note, runs=ours.runs)


def _accuracy(collected: Collected, line: Published) -> list[Found]:
    return collected.select(kind="train", metric="accuracy", dataset=line.dataset, model=line.model, treatment="")


def _evasion(goal: str) -> Callable[[Collected, Published], list[Found]]:
    def find(collected: Collected, line: Published) -> list[Found]:
        return collected.select(plugin="pgd", metric="asr", dataset=line.dataset, model=line.model, params={"goal": goal})

    return find


def _backdoor(metric: str) -> Callable[[Collected, Published], list[Found]]:
    def find(collected: Collected, line: Published) -> list[Found]:
        return collected.select(plugin="trojannn", metric=metric, dataset=line.dataset, model=line.model)

    return find


def _membership(collected: Collected, line: Published) -> list[Found]:
    return collected.select(plugin="hopskipjumpdistance", metric="auc", dataset=line.dataset, model=line.model)


def _theft(collected: Collected, line: Published) -> list[Found]:
    victim, _, replica = (part.strip().split(" ", 1)[1] if " " in part.strip() else "" for part in line.subject.partition("/"))
    known = names.known(victim), names.known(replica)
    rows = collected.select(plugin="knockoff", metric="ace", dataset=line.dataset, model=known[1], params={"budget": 8000})
    return [found for found in rows if (collected.victim(found) or ("", ""))[0] == known[0]]


_FINDERS: dict[str, Callable[[Collected, Published], list[Found]]] = {
    "accuracy": _accuracy,
    "asr_most_likely": _evasion("most_likely"),
    "asr_least_likely": _evasion("least_likely"),
    "backdoor_asr": _backdoor("asr"),
    "backdoor_cad": _backdoor("cad"),
    "membership_auc": _membership,
    "ace": _theft,
}
