"""Models × attacks: what each attack does to each model, families as blocks, one matrix for each data set and protocol."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from robnas.report import names, settings
from robnas.report.collected import Collected
from robnas.report.columns import MEASURES, MOST, Column, choose, head
from robnas.report.exhibit import Cell, Entry, Exhibit, Table, number
from robnas.report.found import Found
from robnas.report.paper.over_seeds import of_each

REDUCED = "† at reduced size: shows that it runs, not what the paper's models would do. "
HARDENED = ", adversarially trained"
CLEAN = "clean, %"
PROTOCOLS = ("sound", "paper", "artifact", "custom")
"""In this order."""


Pair = tuple[str, str]
"""A model and its family."""


class Group(NamedTuple):
    """Rows under one data set and protocol.

    Args:
        attacks: what the matrix shows.
        trained: of trainings, for size and clean accuracy.
        measured: clean accuracies that attacks wrote; they stand in for a model that was not trained here.
    """

    attacks: Sequence[Found]
    trained: Sequence[Found]
    measured: Sequence[Found]


def matrices(collected: Collected) -> list[Exhibit]:
    """One exhibit for each data set and protocol that was attacked under; a study of one has one."""
    found = groups(collected)
    return [exhibit(collected, group, *where, alone=len(found) == 1) for where, group in found.items()]


def groups(collected: Collected) -> dict[tuple[str, str], Group]:
    """(data set, protocol) → its rows, in the order of the page."""
    attacks = _by_setting(found for found in collected.select(kind="attack") if found.model and _counts(found))
    measured = _by_setting(collected.select(metric="clean_accuracy", kind="attack"))
    ranks = {name: i for i, name in enumerate(PROTOCOLS)}
    ordered = sorted(attacks, key=lambda where: (where[0], ranks.get(where[1], len(ranks))))
    return {where: Group(attacks[where], collected.select(dataset=where[0], kind="train"), measured.get(where, ())) for where in ordered}


def _by_setting(rows: Iterable[Found]) -> dict[tuple[str, str], list[Found]]:
    out: dict[tuple[str, str], list[Found]] = defaultdict(list)
    for found in rows:
        out[found.dataset, found.row.protocol].append(found)
    return out


def exhibit(collected: Collected, group: Group, dataset: str, protocol: str, alone: bool = True) -> Exhibit:
    """The matrix of one data set and protocol."""
    table, more = of_attacks(collected, group)
    several_of = ", ".join(f"{names.plugin(plugin)} (of {n})" for plugin, n in more.items())
    several = any("seeds" in entry.note for row in table.rows for entry in row if isinstance(entry, Cell))
    caption = (
        (
            "Mean over seeds with Student's 95% interval of that mean, no narrower than theirs over inputs; of one seed that over inputs. "
            if several
            else ""
        )
        + ("" if several else "Each number with its 95% interval over inputs. ")
        + "The strip below a number is that interval: percentages from 0 to 100, others from the column's lowest end to its highest. "
        "An arrow in a head points to where a model is easier to break. Hatched: not measured. "
        + (
            f"Of more than {MOST} settings of an attack that of the middle size is shown, for each goal: {several_of}; "
            "figures below have all. "
            if more
            else ""
        )
        + (REDUCED if _reduced(table) and not collected.all_reduced else "")
    )
    where = f"{names.data(dataset)}, {protocol} protocol"
    return Exhibit(f"matrix-{dataset or 'data'}-{protocol}", "", "Models × attacks" if alone else where, f"{where}. {caption}", table=table)


def of_attacks(collected: Collected, group: Group) -> tuple[Table, dict[str, int]]:
    """The table, and the attacks of which it has but the setting in the middle, of how many."""
    cells = by_column(collected, group)
    # a few that were hardened, and attacked at one ε alone, do not choose it
    chosen, more = choose({column: {model for model in by_model if not model[0].endswith(HARDENED)} for column, by_model in cells.items()})
    models = sorted({pair for column in chosen for pair in cells[column]}, key=order)
    size, accuracy = sizes(group), clean(group)
    facts: dict[str, list[Entry]] = {
        "parameters": [cell(size.get(pair, ()), "parameters") for pair in models],
        CLEAN: [cell(accuracy.get(pair, ()), "accuracy") for pair in models],
    }
    about = {
        "parameters": "trainable parameters",
        CLEAN: "accuracy on clean test images, trained without any attack; of a model that was not trained here on the images that "
        "were attacked",
    }
    about = {name: words for name, words in about.items() if any(entry is not None for entry in facts[name])}
    heads = about | head(chosen, more)
    rows: list[tuple[Entry, ...]] = []
    for i, pair in enumerate(models):
        known = (facts[name][i] for name in about)
        rows.append((title(pair[0]), *known, *(cell(cells[column].get(pair, ()), column.metric) for column in chosen)))
    return Table(("model", *heads), tuple(rows), tuple(block(pair) for pair in models), heads), more


def by_column(collected: Collected, group: Group) -> dict[Column, dict[Pair, list[Found]]]:
    """Column → model → its rows."""
    out: dict[Column, dict[Pair, list[Found]]] = defaultdict(lambda: defaultdict(list))
    for found in group.attacks:
        out[column_of(collected, found)][attacked(collected, found)].append(found)
    return {column: dict(by_model) for column, by_model in out.items()}


def sizes(group: Group) -> dict[Pair, list[Found]]:
    """Model → rows of how many parameters it has."""
    return _by_model(_own(group), "parameters")


def clean(group: Group) -> dict[Pair, list[Found]]:
    """Model → rows of its accuracy without an attack: of its training, else as attacks found it."""
    trained = _by_model(_own(group), "accuracy")
    return trained | _most_inputs(found for found in group.measured if who(found) not in trained)


def column_of(collected: Collected, found: Found) -> Column:
    """Where a row belongs. Of a theft the replica counts as the thief's choice."""
    params = found.params
    if found.row.metric == "ace":
        params = {**params, "replica": "" if attacked(collected, found) == who(found) else f"replica {found.title}"}
    return Column(found.row.plugin, settings.setting(params), found.row.metric)


def who(found: Found) -> Pair:
    """(model, family); what was trained adversarially is a model of its own and no further seed."""
    return found.model + HARDENED * ("AdversarialClassifier" in found.run.config), found.family


def title(model: str) -> str:
    """In print."""
    return names.model(model.removesuffix(HARDENED)) + HARDENED * model.endswith(HARDENED)


def block(pair: Pair) -> str:
    """Under which head a model stands."""
    return names.FAMILIES[pair[1]].title if pair[1] in names.FAMILIES else pair[1]


def order(pair: Pair) -> tuple[object, ...]:
    """What models are sorted by; what was hardened stands behind the same model without it."""
    model, family = pair
    return (*names.order(model.removesuffix(HARDENED), family), model)


def attacked(collected: Collected, found: Found) -> Pair:
    """(model, family) of whom the attack was on: of a theft the victim, where its run is here."""
    stolen = collected.victim(found) if found.row.metric == "ace" else None
    return stolen or who(found)


def cell(rows: Sequence[Found], metric: str) -> Cell | None:
    """Of one model and column: None where nothing was measured. Rows that differ in the attack's seed alone are averaged first, and what
    is of one run then has no interval.
    """
    if not rows:
        return None
    share = metric in ("asr", "cad", "accuracy", "clean_accuracy", "robust_accuracy")
    scale = 100.0 if share else 1.0
    runs: dict[tuple[str, str | None], list[Found]] = defaultdict(list)
    for found in rows:
        if not math.isnan(found.value):
            runs[found.place, found.row.victim].append(found)
    flags = tuple(dict.fromkeys(flag for found in rows for flag in found.row.flags))
    reduced = next((found.reduced for found in rows if found.reduced), "")
    flags = (*flags, *([f"reduced: {reduced}"] if reduced else []))
    places = tuple(dict.fromkeys(found.place for found in rows))
    if not runs:
        return Cell(None, text="none", flags=flags, runs=places)
    worth = of_each(list(runs.values()))
    n, errored = [found.row.n for found in rows if found.row.n], sum(found.row.errored for found in rows)
    note = ", ".join(
        filter(None, (f"n = {min(n)}" if n else "", f"{len(runs)} seeds" if len(runs) > 1 else "", f"{errored} errored" if errored else ""))
    )
    low, high = (None if end is None else scale * end for end in (worth.low, worth.high))
    mean = scale * worth.value
    if metric in ("parameters", "flops"):
        return Cell(mean, text=number(mean), flags=flags, note=note, runs=places)
    text = (f"{mean:.1f}" if share else f"{mean:.3f}" if metric == "auc" else number(mean)).replace("-", "−")
    return Cell(mean, low, high, text, flags, note=note, runs=places)


def _counts(found: Found) -> bool:
    """Whether the matrix shows a row of an attack: its measure, of the attack itself and not of a control, a member or a transfer."""
    if {"after", "control", "target"} & set(found.params) and found.row.access != "training":
        return False
    if isinstance(eps := found.params.get("eps"), (int, float)) and eps >= 1:
        return False  # the whole range of a pixel: a check that the attack works at all
    if settings.unbounded(found.params):
        return found.row.metric == "median_distance"
    return found.row.metric in MEASURES and found.row.metric != "median_distance"


def _own(group: Group) -> list[Found]:
    """The trainings that the attacks were on, as far as that can be known: the same run folder, else the same protocol, else any."""
    places, protocols = {found.place for found in group.attacks}, {found.row.protocol for found in group.attacks}
    by_model: dict[Pair, list[Found]] = defaultdict(list)
    for found in group.trained:
        by_model[who(found)].append(found)
    out = []
    for rows in by_model.values():
        own = [found for found in rows if found.place in places and not found.treatment]
        out += own or [found for found in rows if found.row.protocol in protocols] or rows
    return out


def _most_inputs(rows: Iterable[Found]) -> dict[Pair, list[Found]]:
    """Model → of the same weights the row of the most inputs: some attacks are on fewer than others."""
    best: dict[Pair, dict[str, Found]] = defaultdict(dict)
    for found in rows:
        own, run = best[who(found)], str(found.row.victim or found.place)
        if not found.treatment and (run not in own or (found.row.n or 0) > (own[run].row.n or 0)):
            own[run] = found
    return {pair: list(own.values()) for pair, own in best.items()}


def _by_model(rows: Iterable[Found], metric: str) -> dict[Pair, list[Found]]:
    out: dict[Pair, list[Found]] = defaultdict(list)
    for found in rows:
        if found.row.metric == metric and not found.treatment:
            out[who(found)].append(found)
    return dict(out)


def _reduced(table: Table) -> bool:
    return any(flag.startswith("reduced") for row in table.rows for entry in row if isinstance(entry, Cell) for flag in entry.flags)
