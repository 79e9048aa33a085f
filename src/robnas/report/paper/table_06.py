"""Table 6: what the paper sets, what robnas's configs of the paper's protocol set, and what the runs of a study used."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from robnas.configuration.files import shipped
from robnas.configuration.reading import read_file, read_text
from robnas.report.collected import Collected
from robnas.report.exhibit import Entry, Exhibit, Table
from robnas.report.found import Found
from robnas.report.paper.variants import PROTOCOLS
from robnas.report.settings import radius
from robnas.units import fraction

NOT_RUN = "not run"
MEASURES = ("asr", "auc", "ace", "cad")
"""By which the rows of an attack are found, one or two a run."""


def exhibit(collected: Collected) -> Exhibit:
    """A row a setting; "≠" stands before what is not as the paper has it."""
    entries = lines()
    used = {i: of_runs(collected, line) for i, line in enumerate(entries)}
    there = [protocol for protocol in PROTOCOLS if any(used[i][protocol] for i in used)]
    columns = ("parameter", "paper", "config of the protocol `paper`", *(f"used: {protocol}" for protocol in there))
    rows: list[tuple[Entry, ...]] = []
    for i, line in enumerate(entries):
        paper, name = line["paper"], f"{line['parameter']}{', ' + line['unit'] if 'unit' in line else ''}"
        cells = [_against([line["fixed"]] if "fixed" in line else [of_config(line)], line)]
        cells += [_against(used[i][p], line) if used[i][p] else ("not a setting" if "fixed" in line else NOT_RUN) for p in there]
        rows.append((name, _said(paper, _of_pixels(line)), *cells))
    caption = (
        "Settings of the experiments of §3 and §5.2: the paper's; robnas's own configs of that protocol, read from the files that are "
        "shipped; and those of the runs below, by protocol, read from their rows and configurations. ≠: not as the paper has it, as in "
        "reduced runs; several values: runs differ. The column of a training is the protocol of that training. M: second most likely "
        "class, L: least likely class."
    )
    missing = "" if there else "runs: this table is of the paper and of the configs alone"
    about = dict.fromkeys(columns[3:], "what the runs of this protocol used")
    return Exhibit(
        "table-6",
        "Table 6",
        "Settings",
        caption,
        None,
        Table(columns, tuple(rows), tuple(line["type"] for line in entries), about),
        missing,
        folded=True,
    )


@cache
def lines() -> tuple[dict[str, Any], ...]:
    """table_06.yaml."""
    text = (files("robnas.report.paper") / "table_06.yaml").read_text("utf-8")
    return tuple(read_text(text, "table_06.yaml"))


def of_config(line: Mapping[str, Any]) -> Any:
    """What the shipped config says; None where there is none."""
    path = shipped().get(line["config"])
    found: Any = read_file(path) if path else None
    for key in line["at"].split("."):
        found = found.get(key) if isinstance(found, dict) else None
    return found


def of_runs(collected: Collected, line: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Protocol → the values that its runs used, each once."""
    found: dict[str, dict[str, Found]] = {protocol: {} for protocol in PROTOCOLS}
    for row in _rows(collected, line["rows"]) if "used" in line else []:
        own = found.setdefault(row.row.protocol, {})
        own[row.place if line["used"] == "config" else str(len(own))] = row
    name = line.get("at", "").rpartition(".")[2]
    read = _argument if line.get("used") == "params" else _of_run
    return {protocol: _once(read(row, name) for row in rows.values()) for protocol, rows in found.items()}


def _argument(found: Found, name: str) -> Any:
    return found.params.get(name)


def _of_run(found: Found, name: str) -> Any:
    return in_config(found.run.config, name)


def _rows(collected: Collected, wanted: Mapping[str, Any]) -> list[Found]:
    """One a measurement: attacks by ASR, AUC, ACE or CAD; plain and adversarial trainings by accuracy."""
    adversarial, plugins, goals = wanted.get("adversarial", False), wanted.get("plugin"), wanted.get("goal")
    if adversarial or plugins == ["accuracy"]:
        rows = [found for found in collected.select(metric="accuracy", kind="train", plugin="accuracy") if not found.treatment]
        return [found for found in rows if ("AdversarialClassifier" in found.run.config) == adversarial]
    every = [found for metric in MEASURES for found in collected.select(metric=metric, kind="attack", plugin=plugins)]
    rows = [found for found in every if not {"after", "control"} & set(found.params)]
    rows = [found for found in rows if goals is None or found.params.get("goal") in goals]
    return [found for found in rows if "strategy" not in wanted or found.params.get("strategy") in wanted["strategy"]]


def in_config(text: str, name: str) -> Any:
    """The value of the first key of that name, at any depth, in the text of a config.yaml; None where there is none."""
    found = re.search(rf"^ *{re.escape(name)}: *(\S.*?) *$", text, re.MULTILINE)
    return read_text(found[1], name) if found else None


def _once(values: Iterable[Any]) -> list[Any]:
    found: dict[str, Any] = {}
    for value in values:
        if value is not None and not isinstance(value, dict | list):
            found.setdefault(_said(value), value)
    return sorted(found.values(), key=lambda value: (isinstance(value, str), value))


def _against(values: Iterable[Any], line: Mapping[str, Any]) -> str:
    """The values in print, "≠" before them where one is not the paper's."""
    said = [value for value in values if value is not None]
    if not said:
        return "none"
    same = line.get("same", {})
    apart = any(not _equal(same.get(value, value), line["paper"]) for value in said)
    return ("≠ " if apart else "") + ", ".join(_said(value, _of_pixels(line)) for value in said)


def _equal(value: Any, paper: Any) -> bool:
    a, b = _number(value), _number(paper)
    return abs(a - b) < 1e-9 if a is not None and b is not None else str(value) == str(paper)


def _number(value: Any) -> float | None:
    if isinstance(value, str):
        return fraction(value)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _of_pixels(line: Mapping[str, Any]) -> bool:
    """Whether it is told in steps of a pixel, as ε is."""
    return str(line.get("at")).endswith((".eps", ".step_size")) and line["type"] != "Backdoor injection"  # its paper says 0.015


def _said(value: Any, pixels: bool = False) -> str:
    """2,500; words as they are. pixels: 1.33/255 rather than 0.00523."""
    number = _number(value)
    if pixels and number is not None:
        return radius(number)
    if isinstance(value, str) or number is None:
        return str(value)
    return f"{value:,}" if isinstance(value, int) else f"{number:g}"
