"""`robnas list`: what is there, without importing any of it."""

import itertools
import json
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from math import ceil, floor
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from robnas import jobs, plugins, source, units
from robnas._version import __version__
from robnas.configuration import files
from robnas.errors import unknown
from robnas.source import first_sentence
from robnas.words import Parser

if TYPE_CHECKING:
    from robnas.results import Row

Entry = dict[str, str | int | None]
"""name, about (one line), provider (distribution and version, or folder), needs (what it cannot do without), error; of a
run its state, when it began and what its rows say; of a network its kind and, at the paper's size, parameters and FLOPs."""

UNITS = {"parameters": "parameters", "flops": "FLOPs"}
"""Columns of numbers, which JSON has as they are."""


ABOUT = (
    "What is there. Without KIND: everything but runs. "
    "Of models: parameters and FLOPs (multiply-adds) at the paper's size, for one 3×32×32 image and 10 classes."
)


def main(words: list[str]) -> None:
    """`robnas list [KIND] [--json] [--check] [--runs DIR]`. Raises UserError for an unknown kind."""
    parser = Parser("robnas list", description=ABOUT)
    parser.add_argument("kind", nargs="?", metavar="KIND", help=", ".join(KINDS))
    parser.add_argument("--json", action="store_true", help="as JSON, for programs")
    parser.add_argument("--check", action="store_true", help="import every plug-in and say what is broken")
    parser.add_argument("--children", action="store_true", help="runs: the children of a search one by one")
    parser.add_argument("--runs", default="runs", metavar="DIR", help="where run folders are (runs)")
    options = parser.parse_args(words)
    if options.kind is not None and options.kind not in KINDS:
        raise unknown("kind of thing to list", options.kind, KINDS)
    kinds = [options.kind] if options.kind else [kind for kind in KINDS if kind != "runs"]
    listed = {kind: _runs(options.runs, options.children) if kind == "runs" else KINDS[kind](options.check) for kind in kinds}
    if options.json:
        print(json.dumps(listed[options.kind] if options.kind else listed, indent=2, ensure_ascii=False))
        return
    for i, (kind, entries) in enumerate(listed.items()):
        show(kind, entries, first=i == 0)


def show(title: str, entries: list[Entry], first: bool = True) -> None:
    """A table on a terminal, of runs one block each; aligned text elsewhere. Columns that are empty in every row are left out."""
    columns = [c for c in dict.fromkeys(key for entry in entries for key in entry) if any(entry.get(c) for entry in entries)]
    table_wanted = sys.stdout.isatty() and bool(entries)
    rows = [[_said(entry.get(column), "" if table_wanted else UNITS.get(column, "")) for column in columns] for entry in entries]
    if table_wanted and title == "runs":
        _blocks(title, entries)
        return
    if table_wanted:
        from rich.console import Console
        from rich.table import Table

        table = Table(title=title, title_justify="left", title_style="bold", show_edge=False, pad_edge=False)
        for column in columns:
            style = "red" if column == "error" else None
            justify: Literal["left", "right"] = "right" if column in UNITS else "left"
            table.add_column(UNITS.get(column, column), style=style, justify=justify, no_wrap=column in ("name", *UNITS))
        for row in rows:
            table.add_row(*(cell.replace("; ", "\n") if column == "found" else cell for column, cell in zip(columns, row, strict=True)))
        Console().print(table, highlight=False, markup=False)
        return
    print(("" if first else "\n") + title)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows or [["none"]]:
        print("  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths or [0], strict=True)).rstrip())


def _blocks(title: str, entries: list[Entry]) -> None:
    """A line on what it is and how it stands, and one for each thing found: a table of so much leaves no column its width."""
    from rich.console import Console
    from rich.padding import Padding
    from rich.text import Text

    console = Console()
    console.print(Text(title, style="bold"))
    for entry in entries:
        about = (f"  {entry[column]}" for column in ("model", "state", "created") if entry.get(column))
        console.print(Text.assemble((str(entry["name"]), "bold"), *about))
        for line in filter(None, str(entry.get("found") or "").split("; ")):
            console.print(Padding(Text(line), (0, 0, 0, 4)))


def _said(value: str | int | None, unit: str) -> str:
    return f"{units.human(value)} {unit}".rstrip() if isinstance(value, int) else value or ""


def _plugins(group: str) -> Callable[[bool], list[Entry]]:
    def entries(check: bool) -> list[Entry]:
        out: list[Entry] = []
        for plugin in plugins.declared(group):
            about = source.describe(plugin.value)
            error = plugin.fault() if check else plugin.broken
            out.append({"name": plugin.name, "about": about.line, "provider": plugin.provider, "needs": about.needs, "error": error})
        return out

    return entries


def _models(check: bool) -> list[Entry]:
    """Every network that has a name: plug-ins, then published cells. What others' have for a size is not known without building them."""
    from robnas.models.sizes import sizes
    from robnas.space import published

    entries: list[Entry] = []
    for entry, plugin in zip(_plugins("robnas.models")(check), plugins.declared("robnas.models"), strict=True):
        network: Entry = {"name": plugin.name, "kind": "manual" if plugin.built_in else "custom", "about": entry["about"]}
        known = sizes().get(plugin.name) if plugin.built_in else None
        network |= {"parameters": known and known.parameters, "flops": known and known.flops}
        entries.append(network | {key: entry[key] for key in ("provider", "needs", "error")})
    for name in published.names():
        about, provider = published.entry(name).about, f"robnas {__version__}"
        entries.append(
            {"name": name, "kind": "nas", "about": about, **sizes()[name]._asdict(), "provider": provider, "needs": "", "error": ""}
        )
    return entries


def _genotypes(check: bool) -> list[Entry]:
    from robnas.space import published

    return [{"name": name, "about": published.entry(name).about} for name in published.names()]


def _studies(check: bool) -> list[Entry]:
    return [{"name": name, "about": _comment(path)} for name, path in files.studies().items()]


def _configs(check: bool) -> list[Entry]:
    return [{"name": name, "about": _comment(path)} for name, path in files.shipped().items()]


def _comment(path: Path) -> str:
    """The first sentence of the comment that a config begins with."""
    comment = []
    for line in itertools.takewhile(lambda line: line.startswith("#"), path.read_text("utf-8").splitlines()):
        comment.append(line.lstrip("# ").strip())
        if line.endswith("."):
            break
    return first_sentence(" ".join(comment))


def _runs(root: str, children: bool = False) -> list[Entry]:
    """The newest first; the children of a search are one entry, unless `children` are asked for one by one."""
    entries: list[Entry] = []
    families: dict[str, list[jobs.Job]] = {}
    for job in jobs.find(root):
        rows = _rows(job.folder)
        entry: Entry = {
            "name": str(job.folder),
            "about": job.experiment,
            "model": _model(rows, str(job.facts.get("network") or "")),
            "state": job.state(),
            "created": str(job.facts.get("created", ""))[:16].replace("T", " "),
            "found": _found(rows),
        }
        if children or not job.experiment.endswith(jobs.CHILDREN):
            entries.append(entry)
        elif job.experiment in families:
            families[job.experiment].append(job)
        else:
            families[job.experiment] = [job]
            entries.append(entry | {"name": str(job.folder.parent), "found": ""})
    for entry in entries:
        if family := families.get(str(entry["about"])):
            states = Counter(job.state() for job in family)
            entry["state"] = ", ".join(f"{states[state]} {state}" for state in ("finished", "unfinished") if states[state])
    return entries


def _rows(folder: Path) -> "list[Row]":
    if not (folder / "results.jsonl").is_file():
        return []
    from robnas.results import Rows  # NumPy: only where there is something to read

    return Rows(folder / "results.jsonl").read()


def _model(rows: "list[Row]", network: str) -> str:
    """As a training's note says; of attacks and probes alone, and where a training was attacked or defended, or went on from one that was,
    as rows call the model.
    """
    marked = (row.model for row in rows if row.kind in ("train", "attack", "probe") and row.model and " + " in row.model)
    names = (row.model for row in rows if row.kind in ("attack", "probe") and row.model)
    return next(marked, network or next(names, ""))


def _found(rows: "list[Row]") -> str:
    """What the rows of a run say, in percent with 95% intervals: "accuracy 98.9 [97, 100] n=360; 175 k parameters; ASR …".

    An attack on "(other weights)" was on others than training ended with: those of the best checkpoint, or the same in another precision.
    Accuracy on the inputs of an attack is said once, and only where there is none on all test images. Of a search: "normal: depth 4
    width 1 skips 3; reduce: depth 3 width 2 skips 0; 41 s".
    """
    shown = "accuracy" if any(row.metric == "accuracy" for row in rows) else "clean_accuracy"
    trained = {row.victim for row in rows if row.kind == "train" and row.victim}
    said = _cells({row.metric: row.value for row in rows if row.kind == "search" and row.value is not None})
    for row in sorted(rows, key=lambda row: row.metric != shown):
        if row.kind == "train" and row.metric == "parameters" and row.value is not None:
            said.append(f"{units.human(int(row.value))} parameters")
        if row.access == "training" and row.metric == "cad" and row.value is not None and row.ci:
            said.append(f"CAD of {row.plugin} {100 * row.value:.1f} [{floor(100 * row.ci[0])}, {ceil(100 * row.ci[1])}] n={row.n}")
        if row.metric in (shown, "asr") and row.value is not None and row.ci:
            goal = str(row.params.get("goal", "")).replace("_", " ")
            eps = row.params.get("eps")
            ball = f"ε {255 * eps:.3g}/255" if isinstance(eps, int | float) else ""
            name = " ".join(filter(None, ("ASR of", row.plugin, goal, ball))) if row.metric == "asr" else shown.replace("_", " ")
            other = trained and row.victim and row.victim not in trained
            name += " (other weights)" if row.kind == "attack" and other else ""
            said.append(f"{name} {100 * row.value:.1f} [{floor(100 * row.ci[0])}, {ceil(100 * row.ci[1])}] n={row.n}")
    return "; ".join(dict.fromkeys(said))


def _cells(found: Mapping[str, float]) -> list[str]:
    """The shape of both cells that a search has found, and what it took."""
    said = []
    for kind in ("normal", "reduce"):
        if shape := [f"{name} {found[f'{kind}/{name}']:.0f}" for name in ("depth", "width", "skips") if f"{kind}/{name}" in found]:
            said.append(f"{kind}: {' '.join(shape)}")
    return [*said, f"{found['seconds']:.0f} s"] if "seconds" in found else said


KINDS: dict[str, Callable[[bool], list[Entry]]] = {
    "attacks": _plugins("robnas.attacks"),
    "defences": _plugins("robnas.defences"),
    "probes": _plugins("robnas.probes"),
    "searchers": _plugins("robnas.searchers"),
    "evaluators": _plugins("robnas.evaluators"),
    "models": _models,
    "data": _plugins("robnas.data"),
    "genotypes": _genotypes,
    "configs": _configs,
    "studies": _studies,
    "runs": lambda check: _runs("runs"),
}
"""What can be listed → its entries; the argument: whether to import it."""
