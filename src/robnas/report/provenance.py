"""Where the numbers are from: what ran, on what, what failed, what was passed over, and what was done otherwise than in the paper."""

from __future__ import annotations

import csv
import shlex
from collections import Counter
from importlib.resources import files
from typing import Any

from robnas.report import names
from robnas.report.collected import Collected
from robnas.report.exhibit import Cell, Entry, Exhibit, Table
from robnas.report.found import Found

MOST = 40
"""Notes of one kind that are shown."""
WORD = 200
"""Letters of a command's word that are shown."""


def versions(collected: Collected) -> Exhibit:
    """What the rows were made with."""
    counted: Counter[tuple[str, str]] = Counter()
    for found in collected.rows:
        counted.update((name, version) for name, version in found.row.versions.items() if isinstance(version, str))
        counted[("code", found.row.commit or "unknown")] += 1
    order = sorted(counted, key=lambda pair: (pair[0] != "code", pair[0] != "robnas", pair[0], -counted[pair]))
    rows = tuple((name, version, Cell(counted[name, version], text=f"{counted[name, version]:,}")) for name, version in order)
    several = sorted({name for name, _ in order if sum(other == name for other, _ in order) > 1})
    caption = "Versions that the rows note." + (
        f" More than one of {', '.join(several)}: rows were not all made by the same code." if several else ""
    )
    return Exhibit("versions", "", "Made with", caption, table=Table(("what", "version", "rows"), rows))


def jobs(collected: Collected) -> Exhibit | None:
    """The plan's jobs that are not done, or whose folder is gone, with what stopped them; None without a plan."""
    if not collected.jobs:
        return None
    states = Counter(str(job.get("state", "unknown")) for job in collected.jobs)
    rows: list[tuple[Entry, ...]] = []
    for job in collected.jobs:
        if job.get("state") != "done":
            shown = ", ".join(map(str, job.get("exhibits") or ()))
            rows.append((str(job.get("id", "")), str(job.get("state", "")), str(job.get("error") or ""), shown))
    caption = f"{len(collected.jobs)} jobs were planned: {', '.join(f'{n} {state}' for state, n in states.items())}."
    table = Table(("job", "state", "what happened", "wanted for"), tuple(rows[:500]))
    return Exhibit("jobs", "", "Jobs that are not done" if rows else "All planned jobs are done", caption, table=table if rows else None)


def deviations(collected: Collected) -> Exhibit | None:
    """What each protocol does, for the experiments of this study: departures from the paper are data, here in print."""
    there = {names.plain(found.row.plugin) for found in collected.rows}
    text = (files("robnas.report") / "deviations.csv").read_text("utf-8")
    lines = [line for line in csv.DictReader(text.splitlines()) if there & set(line["plugins"].split())]
    protocols = Counter(found.row.protocol for found in collected.rows)
    if not lines:
        return None
    rows = tuple((line["topic"], line["paper"], line["artifact"], line["sound"]) for line in lines)
    said = ", ".join(f"{n:,} {protocol}" for protocol, n in protocols.most_common())
    caption = (
        "paper: as the text says; artifact: as its authors' published code does; sound: ours; custom: a configuration of one's own. "
        f"Rows here: {said}."
    )
    return Exhibit("deviations", "", "What each protocol does", caption, table=Table(("experiment", "paper", "artifact", "sound"), rows))


def flags(collected: Collected) -> Exhibit | None:
    """What the rows themselves doubt."""
    counted: dict[str, list[Found]] = {}
    for found in collected.rows:
        for flag in found.row.flags:
            counted.setdefault(str(flag), []).append(found)
    if not counted:
        return None
    rows: list[tuple[Entry, ...]] = []
    for flag, own in sorted(counted.items(), key=lambda item: -len(item[1])):
        models = [names.model(model) for model, _ in collected.models(own)]
        shown = ", ".join(models[:6]) + (f" and {len(models) - 6} more" if len(models) > 6 else "")
        rows.append(
            (flag, ", ".join(dict.fromkeys(names.plugin(found.row.plugin) for found in own)), shown, Cell(len(own), text=f"{len(own):,}"))
        )
    caption = "A number with a flag is marked ? in the tables; the flag is said on hover."
    return Exhibit("flags", "", "What is doubtful", caption, table=Table(("flag", "of", "models", "rows"), tuple(rows)))


def reduced(collected: Collected) -> dict[str, int]:
    """Why rows are not at the paper's size → how many."""
    return dict(Counter(found.reduced for found in collected.rows if found.reduced))


def notes(collected: Collected) -> list[str]:
    """What was passed over, a line each."""
    said = [f"{note.where}: {note.what}" for note in collected.notes[:MOST]]
    return said + ([f"and {len(collected.notes) - MOST} more"] if len(collected.notes) > MOST else [])


def run_folders(collected: Collected, to_root: str) -> list[dict[str, Any]]:
    """What the page says of each run folder that has rows, and of searches that are shown by their cells alone.

    to_root: from the page's folder to the study's, "." or "../runs/quick".
    """
    logs: dict[str, list[tuple[str, str]]] = {}
    for job in collected.jobs:
        if job.get("folder") and job.get("log"):
            logs.setdefault(str(job["folder"]), []).append((f"log of {job.get('id', 'a job')}", str(job["log"])))
    by_place: dict[str, list[Found]] = {}
    for found in collected.rows:
        by_place.setdefault(found.place, []).append(found)
    for place, run in collected.runs.items():
        if place not in by_place and not run.helper and (run.folder / "genotype.yaml").is_file():
            by_place[place] = []
    out = []
    for place, own in by_place.items():
        run = own[0].run if own else collected.runs[place]
        at = "" if to_root in ("", ".") else f"{to_root}/"
        known = ["config.yaml", "job.json", "results.jsonl"]
        links = [(name, f"{at}{place}/{name}") for name in known if name in run.files]
        links += [(name, f"{at}{log}") for name, log in logs.get(place, ())]
        model = next((found.row.model for found in own if found.row.model), "")
        words = (shlex.quote(word if len(word) <= WORD else f"{word[:WORD]}…") for word in run.command)
        command = " ".join(f"\\\n  {word}" if word.startswith("--") else word for word in words)
        about = ", ".join(filter(None, (str(model), f"seed {own[0].seed}" if own and own[0].seed is not None else "", f"{len(own)} rows")))
        note = own[0].reduced if own else run.reduced
        out.append({"place": place, "about": about, "state": run.state, "command": command, "links": links, "note": note})
    return out
