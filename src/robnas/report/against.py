"""Ours against the paper's: every number that it prints, with ours beside it: of the same data set, and of the rows that figures show."""

from __future__ import annotations

from robnas.report import names
from robnas.report.collected import Collected
from robnas.report.exhibit import Cell, Entry, Exhibit, Table, number
from robnas.report.paper import forests, table_01, table_02, table_04
from robnas.report.paper.forests import Drawn, Quantity, Setting
from robnas.report.paper.variants import in_words
from robnas.report.published import Published

OF_TABLE_4 = ("asr_most_likely", "asr_least_likely", "backdoor_asr", "backdoor_cad", "membership_auc")
"""Metrics of published.csv, in the order of that table's columns."""
TITLES = {
    "accuracy": "accuracy, %",
    "ace": "ACE",
    "asr_most_likely": "ASR, most likely, %",
    "asr_least_likely": "ASR, least likely, %",
    "backdoor_asr": "backdoor ASR, %",
    "backdoor_cad": "backdoor CAD, %",
    "membership_auc": "membership AUC",
}
"""Metrics of published.csv, but for Table 3's: that is of cells, not of models that were trained, and has a table of its own."""
ABOUT = {
    "published": "as the paper prints it; it gives no intervals",
    "ours": "on the same data set, by the protocol that is nearest to the paper's; mean over seeds with its 95% interval",
    "difference": "ours less published; in points where it is a percentage; with the interval of ours",
    "ours by": "protocol; where that or the setting is not the paper's, how ours was made",
}


def exhibit(collected: Collected) -> Exhibit:
    """One row a published number; the data sets of the study's own that the paper has no numbers of are said in the caption."""
    drawn = {key: Drawn.of(collected, quantity) for key, quantity in _quantities(collected).items()}
    rows: list[tuple[Entry, ...]] = []
    for line in collected.published:
        if line.metric in TITLES:
            victim, replica = _of(line)
            theirs, (ours, by) = _theirs(line), _ours(drawn.get((line.metric, replica)), line.dataset, victim)
            subject = names.model(line.model) if line.model else line.subject
            rows.append((subject, line.where, names.data(line.dataset), TITLES[line.metric], theirs, ours, _difference(theirs, ours), by))
    there = sorted({names.data(found.dataset) for found in collected.rows if found.dataset})
    without = [title for key, title in names.DATA.items() if key not in names.PAPERS_DATA and title in there]
    caption = (
        "Published values have no intervals, and their models come from one training each as far as the paper says. Ours stands beside "
        "them on the same data set alone, of plain trainings, and of several settings at that nearest to the paper's, as in the figures. "
        "Hatched: this study has no such row."
        + (f" The paper has no numbers on {', '.join(without)}: none of those rows is comparable." if without else "")
    )
    lacking = sum(row[5] is None for row in rows)
    missing = f"{lacking} of {len(rows)} published numbers have none of ours beside them" if lacking else ""
    table = Table(("model", "where", "data", "what", "published", "ours", "difference", "ours by"), tuple(rows), about=ABOUT)
    return Exhibit("published", "", "Ours against published", caption, table=table, missing=missing)


def _quantities(collected: Collected) -> dict[tuple[str, str], Quantity]:
    """(metric, replica of a theft or "") → what tables and figures show of it, where it is what the paper measured."""
    of_table_4 = zip(OF_TABLE_4, table_04.quantities(collected)[1:], strict=False)
    found = {(metric, ""): quantity for metric, quantity in of_table_4 if quantity.paper}
    thefts = {("ace", one.title): quantity for one, quantity in table_02.quantities(collected).items() if not one.searched}
    return {("accuracy", ""): table_01.quantity(collected), **found, **thefts}


def _of(line: Published) -> tuple[str, str]:
    """Whose number it is, and by which replica where it is of a theft; in print."""
    if line.model:
        return names.model(line.model), ""
    victim, _, replica = line.subject.removeprefix("victim ").partition(" / replica ")
    return victim, replica


def _theirs(line: Published) -> Cell:
    share = line.metric not in ("ace", "membership_auc")
    value = line.values[0] * (100 if share else 1)
    return Cell(value, text=f"{value:.{1 if share else 3}f}", note=line.note)


def _ours(drawn: Drawn | None, dataset: str, title: str) -> tuple[Cell | None, str | None]:
    """By the first protocol that has the published model (a cell that was searched here is another one), and how it was made."""
    if drawn is not None:
        for setting, models in drawn.worth.items():
            one = next((one for one in models if one.title == title), None)
            if setting[0] == dataset and one is not None:
                return forests.cell(drawn, setting, one), _how(drawn, setting)
    return None, None


def _how(drawn: Drawn, setting: Setting) -> str:
    """ "paper"; "sound: ε = 4/255, 20 steps of 1/255"."""
    row, protocol = drawn.chosen[setting].rows[0], setting[1]
    words = in_words(row.params)
    return protocol if not words or (protocol == "paper" and not drawn.quantity.near(row)) else f"{protocol}: {words}"


def _difference(theirs: Cell, ours: Cell | None) -> Cell | None:
    if ours is None or ours.value is None or theirs.value is None:
        return None
    value = ours.value - theirs.value
    low, high = (None if end is None else end - theirs.value for end in (ours.low, ours.high))
    return Cell(value, low, high, f"{'+' if value > 0 else ''}{number(value)}", ours.flags, note=ours.note, runs=ours.runs)
