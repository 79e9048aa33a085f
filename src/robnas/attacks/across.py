"""What a command on several models shows below its usual table: who breaks on the same inputs, and what transfers. Torch-free."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from math import ceil, floor, isfinite
from pathlib import PurePath
from typing import Any

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from robnas.common import Common, of_rows
from robnas.results import Row, Rows

WIDEST = 9
"""Columns of a histogram; of more models, ranges of k."""
BESIDE = 6
"""Targets side by side; the others follow below."""


def show(found: Iterable[tuple[Rows, Row]], console: Console) -> None:
    """Print what there is to say across models: nothing of one model alone. found: rows with the store that each lies in."""
    found = list(found)
    commons = [common for common in of_rows(found) if common.n]
    if commons:
        console.print(vulnerability(commons))
    for rows in matrices(row for _, row in found):
        for table in matrix(rows):
            console.print(table)


# Common vulnerability


def vulnerability(commons: Sequence[Common]) -> Table:
    """Fig. 4 in numbers: for each attack what was seen, below it what independence would give, and each family with two models or more."""
    bins = ranges(max(common.models for common in commons))
    left = sorted({(common.n, common.some) for common in commons})
    out = Table(
        title="Common vulnerability: inputs that break exactly k models",
        caption="On inputs attacked in all models" + "".join(f"; {n} are, {some} in some only" for n, some in left[:3]) + ". "
        "Small numbers: expected of independent models with the same success rates. Spread: Var(k) over that of independent models, with "
        "95% bootstrap interval over inputs; p: inputs permuted within each model, one-sided.",
        title_justify="left",
        caption_justify="left",
        box=SIMPLE,
        pad_edge=False,
        padding=(0, 1, 0, 0),
    )
    out.add_column("attack", no_wrap=True)
    out.add_column("models", no_wrap=True)
    for first, last in bins:
        out.add_column(f"k={first}" if first == last else f"{first}–{last}", justify="right", no_wrap=True)
    out.add_column("spread", justify="right", no_wrap=True)
    out.add_column("p", justify="right", no_wrap=True)
    for common in commons:
        assert common.row is not None
        families = [f for f in dict.fromkeys(common.families) if 2 <= common.families.count(f) < common.models]
        for i, part in enumerate([common, *(common.of_family(f) for f in families)]):
            ratio, ci, p = part.excess()
            spread = "none" if ratio is None or ci is None else f"{ratio:.2f} [{ci[0]:.2f}, {ci[1]:.2f}]"
            chance = "" if p is None else "<0.001" if p < 0.001 else f"{p:.3f}"
            who = f"{part.models} {families[i - 1].upper() if families[i - 1] == 'nas' else families[i - 1]}" if i else f"{part.models}"
            out.add_row("" if i else _block(common.row), who, *_counts(part.seen, bins, "d"), spread, chance)
            out.add_row("", "  expected", *_counts(part.expected, bins, ".1f"), "", "", style="dim")
    return out


def ranges(models: int) -> list[tuple[int, int]]:
    """k = 0 … M, in at most WIDEST pieces: none and all for themselves, what lies between cut evenly."""
    if models < WIDEST:
        return [(k, k) for k in range(models + 1)]
    width = -(-(models - 1) // (WIDEST - 2))
    return [(0, 0), *((k, min(k + width - 1, models - 1)) for k in range(1, models, width)), (models, models)]


def _counts(values: Any, bins: Sequence[tuple[int, int]], form: str) -> list[str]:
    return [f"{sum(values[first : last + 1]):{form}}" if first < len(values) else "" for first, last in bins]


# Transfer


def matrices(rows: Iterable[Row]) -> list[list[Row]]:
    """Rows of `transfer`, one list for each attack, seed and data set."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        if row.metric == "transfer" and "target" in row.params:
            params = {k: v for k, v in row.params.items() if k != "target"}
            same = [row.plugin, params, row.dataset, row.attack_seed]
            groups.setdefault(json.dumps(same, sort_keys=True, default=str), []).append(row)
    return list(groups.values())


def matrix(rows: Sequence[Row]) -> list[Table]:
    """Sources down, targets across, BESIDE of them at a time."""
    sources = {(row.job, row.victim): row for row in rows}
    targets = {row.params["target"]["victim"]: row.params["target"] for row in rows}
    cells = {((row.job, row.victim), row.params["target"]["victim"]): row for row in rows}
    names = _distinct([(row.model or row.job, row.job or str(row.victim)) for row in sources.values()])
    heads = _distinct([(t["model"], t["job"] or t["victim"]) for t in targets.values()])
    places, counts = list(targets), [row.n or 0 for row in rows]
    attack = rows[0].params["attack"]
    caption = (
        f"% of inputs that source and target both get right ({min(counts)} to {max(counts)}), with 95% intervals: {_wanted(attack)}. "
        "A model on itself: white box."
    )
    tables = []
    for i in range(0, len(places), BESIDE):
        last = i + BESIDE >= len(places)
        out = Table(
            title=f"Transfer, {_block(rows[0])}: {_said(attack)}" if i == 0 else None,
            caption=caption if last else None,
            title_justify="left",
            caption_justify="left",
            box=SIMPLE,
            pad_edge=False,
            padding=(0, 1, 0, 0),
        )
        out.add_column("source ↓ target →", no_wrap=True)
        for head in heads[i : i + BESIDE]:
            out.add_column(head, justify="right", overflow="fold")
        for name, source in zip(names, sources, strict=True):
            out.add_row(name, *(_share(cells.get((source, target))) for target in places[i : i + BESIDE]))
        tables.append(out)
    return tables


def _said(attack: dict[str, Any]) -> str:
    goal = str(attack.get("goal", "")).replace("_", " ")
    return ", ".join(filter(None, (attack.get("class", ""), goal, f"ε = {_radius(attack.get('eps'))}")))


def _wanted(attack: dict[str, Any]) -> str:
    return "the target is wrong" if attack.get("goal") == "untargeted" else "the target answers the class that was wanted of the source"


def _distinct(models: Sequence[tuple[str, str]]) -> list[str]:
    """(name, identity) → names, with the beginning of the identity where two models share one."""
    names = [name for name, _ in models]
    return [name if names.count(name) == 1 else f"{name} {identity[:6]}" for name, identity in models]


def _block(row: Row) -> str:
    """Of the config's block that asked for the attack ("pgd_most"), which the file of outcomes is called by; with ε where there is one."""
    name = PurePath(row.outcomes).stem.rpartition("-")[0].split(".")[0] if row.outcomes else row.plugin
    return f"{name} {_radius(row.params['eps'])}" if isinstance(row.params.get("eps"), int | float) else name


def _radius(eps: Any) -> str:
    return f"{eps * 255:.3g}/255" if isinstance(eps, int | float) and isfinite(eps) else str(eps)


def _share(row: Row | None) -> str:
    if row is None:
        return ""
    if row.value is None or row.ci is None:
        return "none"
    low, high = row.ci  # rounded outwards, so that the interval holds
    return f"{100 * row.value:.0f} [{floor(100 * low)}, {ceil(100 * high)}]"
