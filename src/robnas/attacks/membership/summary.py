"""What membership attacks found, as a table of their own: intervals below the numbers, what was refused said in words. Torch-free."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from math import ceil, floor

from rich.box import SIMPLE
from rich.table import Table

from robnas.attacks.masking_words import SAYS
from robnas.attacks.summary import _name, _short
from robnas.results import Row

TPR = "tpr_at_fpr_"
COLUMNS = ("model", "attack", "n", "AUC", "balanced", "TPR at 10%", "at 1%", "at 0.1%", "gap", "queries", "s")
SHARES = ("balanced_accuracy", f"{TPR}0.1", f"{TPR}0.01", f"{TPR}0.001", "overfitting_gap")


def groups(rows: Iterable[Row]) -> list[dict[str, Row]]:
    """The rows of each membership attack on each model, by metric."""
    found: dict[str, dict[str, Row]] = {}
    for row in rows:
        same = [row.job, row.model, row.victim, row.dataset, row.attack_seed, _name(row), row.params]
        found.setdefault(json.dumps(same, sort_keys=True, default=str), {})[row.metric] = row
    return [group for group in found.values() if "auc" in group]


def lines(rows: Iterable[Row]) -> list[list[str]]:
    """One line for each attack on each model, with the cells of COLUMNS."""
    return [_line(group) for group in groups(rows)]


def _line(group: dict[str, Row]) -> list[str]:
    row = group["auc"]
    n = [f"{group[name].n:,}" if name in group else "?" for name in ("member_accuracy", "non_member_accuracy")]
    cells = [_cell(group.get(metric)) for metric in SHARES]
    return [row.model or "", _name(row), f"{n[0]}\n+ {n[1]}", _cell(row, 1, 3), *cells, _short(row.queries), _short(row.seconds)]


def _cell(row: Row | None, unit: int = 100, digits: int = 1) -> str:
    """Value, and below it its interval rounded outwards, so that it holds; in percent unless told otherwise."""
    if row is None or row.value is None or row.ci is None:
        return "–"
    value, (low, high), step = row.value * unit, (bound * unit for bound in row.ci), 10 ** (digits - 1)
    return f"{value:.{digits}f}\n[{floor(low * step) / step:.{digits - 1}f}, {ceil(high * step) / step:.{digits - 1}f}]"


def table(rows: Sequence[Row]) -> Table | None:
    """For a terminal 100 wide; a column that no line has anything for is left out. None where no membership attack is among the rows."""
    body = lines(rows)
    if not body:
        return None
    several = len({line[0] for line in body}) > 1
    out = Table(
        title="Membership: is it among what the model was trained on? n members + n non-members; percentages but AUC; 95% intervals",
        caption="\n".join(_notes(groups(rows))),
        title_justify="left",
        caption_justify="left",
        box=SIMPLE,
        pad_edge=False,
        padding=(0, 1, 0, 0),
    )
    shown = [i for i, name in enumerate(COLUMNS) if (several if name == "model" else any(line[i] != "–" for line in body))]
    for i in shown:
        out.add_column(COLUMNS[i], justify="left" if i < 2 else "right", no_wrap=i > 1, overflow="fold")
    for line in body:
        out.add_row(*(line[i] for i in shown))
    return out


def _notes(found: list[dict[str, Row]]) -> list[str]:
    """What numbers mean, what makes them doubtful, which were refused and why, and what errored."""
    notes = ["AUC: signed, ½ is chance. TPR at a FPR. balanced: threshold from other inputs. gap: accuracy on members less on non-members."]
    refused: dict[float, list[str]] = {}
    doubtful: dict[str, dict[str, None]] = {}
    for group in found:
        for metric, row in group.items():
            for flag in row.flags:
                if metric.startswith(TPR) and flag.startswith("refused"):
                    refused.setdefault(float(metric.removeprefix(TPR)), []).append(flag)
        row = group["auc"]
        for flag in row.flags:
            doubtful.setdefault(SAYS.get(flag, flag), {})[_name(row)] = None
        if (folded := group.get("folded_auc")) is not None and folded.value is not None:
            notes.append(f"{_name(row)}: max(AUC, 1 − AUC) = {folded.value:.3f}, which is never below ½: no evidence of anything.")
        if row.errored:
            notes.append(f"{_name(row)}: {row.errored} more inputs errored, and are in no n.")
    return notes + [f"{', '.join(names)}: {what}." for what, names in doubtful.items()] + _refused(refused)


def _refused(flags: Mapping[float, list[str]]) -> list[str]:
    """By FPR, why there is no TPR → a line for each: "TPR at 1% FPR refused: 1,000 non-members needed, here are 299 to 300."."""
    lines = []
    for fpr, why in sorted(flags.items(), reverse=True):
        counts, reasons = [], []
        for flag in why:
            if few := re.fullmatch(r"refused: ([\d,]+) negatives, ([\d,]+) needed", flag):
                counts.append(int(few[1].replace(",", "")))
                reasons.append(f"{few[2]} non-members needed, here are ")
            else:
                reasons.append(flag.removeprefix("refused: "))
        here = " to ".join(f"{n:,}" for n in sorted({min(counts), max(counts)})) if counts else ""
        told = [reason + here * reason.endswith("here are ") for reason in dict.fromkeys(reasons)]
        lines.append(f"TPR at {100 * fpr:g}% FPR refused: {'; '.join(told)}.")
    return lines
