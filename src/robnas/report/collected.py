"""All that lies below a study's folder, read tolerantly: rows, run folders, the plan, and the paper's own values.

    collected = Collected.read("runs/quickstart")
    for found in collected.select(plugin="pgd", metric="asr", params={"goal": "most_likely"}):
        print(found.title, found.seed, found.value, found.low, found.high)

What cannot be read is named in `collected.notes` and passed over; it ends nothing.
"""

from __future__ import annotations

import json
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from robnas.errors import unknown
from robnas.report import names, own
from robnas.report.found import Found, Note
from robnas.report.progress import silent
from robnas.report.published import Published, published
from robnas.report.reading import read_rows
from robnas.report.rundirs import RunFolder, read_facts, walk
from robnas.report.searched import under_searchers
from robnas.report.selection import FIELDS, agreeing, choice, has
from robnas.report.settings import in_order
from robnas.report.superseded import superseded
from robnas.results import Row

T = TypeVar("T")


@dataclass
class Collected:
    """Everything a report stands on. Made by `Collected.read`; of rows that are there already by `Collected(root, rows)`.

    root: the study's folder. rows: in order of folders, then as written; a row that lies in two folders is there once. runs: run folders
    by place. plan: plan.json, {} without one. notes: what was passed over. kept: what `once` made.
    """

    root: Path
    rows: list[Found] = field(default_factory=list)
    runs: dict[str, RunFolder] = field(default_factory=dict)
    plan: dict[str, Any] = field(default_factory=dict)
    notes: list[Note] = field(default_factory=list)
    kept: dict[Hashable, Any] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def read(cls, root: str | Path, progress: Callable[[str], None] = silent) -> Collected:
        """Everything below `root`. Never raises for what lies there; no rows at all: `rows` is empty. progress: told how far it is."""
        root = Path(root)
        new = cls(root)
        new.plan = new._plan()
        planned = {str(job.get("folder")): job for job in new.jobs if job.get("folder")}
        old = superseded(root, new.jobs)
        seen: dict[str, _Job] = {}
        for number, (folder, inside) in enumerate(walk(root)):
            if number % 200 == 0:
                progress(f"reading: {len(new.rows):,} rows of {number:,} folders")
            place = folder.relative_to(root).as_posix()
            if place in old:
                new.notes.append(Note(place, "made by an earlier version of the study: passed over"))
                continue
            run = RunFolder(folder, place, new._facts(folder, place, inside), frozenset(inside))
            if run.facts:
                new.runs[place] = run
            for name in inside:
                if name.endswith(".jsonl") and name not in ("results.jsonl", "genotypes.jsonl"):
                    new.notes.append(Note(f"{place}/{name}", "a file that robnas does not write: passed over"))
            if "results.jsonl" in inside and not run.helper:
                new._add(run, planned.get(place, {}), seen)
        new.rows = under_searchers(own.apart(new.rows))
        if not new.of_families:
            new.rows = [replace(found, reduced=found.run.reduced) for found in new.rows]  # of nobody's models but one's own: no stand-in
        return new

    @property
    def name(self) -> str:
        """Of the study; of the folder where there is no plan."""
        return str(self.plan.get("study") or self.root.resolve().name)

    @cached_property
    def of_families(self) -> bool:
        """Whether there are models of the families that the paper compares, and not one's own alone."""
        return any(found.family in ("nas", "manual") for found in self.rows)

    @cached_property
    def all_reduced(self) -> bool:
        """Whether no row is at the paper's size: said once, and not of each number."""
        return bool(self.rows) and all(found.reduced for found in self.rows)

    @cached_property
    def jobs(self) -> list[dict[str, Any]]:
        """The plan's jobs, as in plan.json, but "gone" where they were done and their folder is not there; [] without a plan."""
        found = self.plan.get("jobs")
        every = [job for job in found if isinstance(job, dict)] if isinstance(found, list) else []
        folders = {str(job["folder"]) for job in every if job.get("folder")}
        there = {place for place in folders if os.path.isdir(self.root / place)}  # noqa: PTH112  # a Path raises where it is no place
        return [_gone(job) if job.get("state") == "done" and str(job.get("folder")) in folders - there else job for job in every]

    def select(self, rows: Iterable[Found] | None = None, **wanted: Any) -> list[Found]:
        """The rows of which all of `wanted` is true: `plugin="pgd", metric=("asr", "robust_accuracy"), params={"goal": "most_likely"}`.

        Args:
            rows: to choose from; all of them unless given.
            wanted: field of `Row` or property of `Found` → its value, or a collection (tuple, list, set) of which it is one. params:
                arguments with those values, others as they like. Names of plug-ins and data sets: with or without "_", in any letters.

        Raises UserError for a field that rows do not have.
        """
        for name in wanted:
            if name not in FIELDS:
                raise unknown("field of rows", name, FIELDS)
        params = dict(wanted.pop("params", {}))
        tests = {name: choice(name, value) for name, value in wanted.items()}
        chosen = self.once(("select", *tests.items()), lambda: self._of_all(tests)) if rows is None else agreeing(rows, tests)
        return [found for found in chosen if has(found.params, params)] if params else list(chosen)

    def once(self, key: Hashable, make: Callable[[], T]) -> T:
        """What several exhibits ask for, made where the first does. key: says what; its words are the caller's own. Not to be changed."""
        if key not in self.kept:
            self.kept[key] = make()
        made: T = self.kept[key]
        return made

    def models(self, rows: Iterable[Found] | None = None) -> list[tuple[str, str]]:
        """(model, family) of all rows, or of these, in the one order of the report."""
        if rows is None:
            return list(self.once("models", lambda: self.models(self.rows)))
        there = {(found.model, found.row.family) for found in rows if found.model}
        return sorted(there, key=lambda pair: names.order(*pair))

    def victim(self, found: Found) -> tuple[str, str] | None:
        """(model, family) of whom a theft was from, by the identity that the thief's folder notes; None where that run is not here.

        A theft's own row has the replica's model.
        """
        upstream = found.run.facts.get("upstream")
        for identity in upstream.values() if isinstance(upstream, dict) else ():
            if str(identity) in self._by_identity:
                return self._by_identity[str(identity)]
        return None

    @staticmethod
    def values(rows: Sequence[Found]) -> NDArray[np.float64]:
        """[n], NaN where a row has no number."""
        return np.array([found.value for found in rows], dtype=np.float64)

    @cached_property
    def published(self) -> tuple[Published, ...]:
        """The paper's own values, by table."""
        return published()

    def _of_all(self, tests: Mapping[str, tuple[Any, ...]]) -> list[Found]:
        """All rows that agree, by the index of the field that has fewest of them."""
        indexed = {name: [self._index[name].get(value, []) for value in choice] for name, choice in tests.items() if name in self._index}
        if not indexed:
            return agreeing(self.rows, tests)
        fewest = min(indexed, key=lambda name: sum(map(len, indexed[name])))
        own = indexed[fewest][0] if len(indexed[fewest]) == 1 else sorted(chain(*indexed[fewest]))
        return agreeing([self.rows[i] for i in own], {name: choice for name, choice in tests.items() if name != fewest})

    @cached_property
    def _index(self) -> dict[str, dict[str, list[int]]]:
        """Field → its values → numbers of rows, ascending: of 100,000 rows an exhibit is of a few thousand."""
        out: dict[str, defaultdict[str, list[int]]] = {name: defaultdict(list) for name in ("metric", "plugin", "kind", "model")}
        metric, plugin, kind, model = out.values()
        for number, found in enumerate(self.rows):
            row = found.row
            metric[row.metric].append(number)
            plugin[names.plain(row.plugin)].append(number)
            kind[row.kind].append(number)
            model[found.model].append(number)
        return {name: dict(values) for name, values in out.items()}

    @cached_property
    def untreated(self) -> tuple[dict[str, Found], dict[str, Found]]:
        """The first row of each plainly trained model (a search is none), by the identity of its run and by the digest of its weights."""
        by_identity: dict[str, Found] = {}
        by_digest: dict[str, Found] = {}
        for found in self.rows:
            if not found.treatment and found.row.kind != "search":
                if found.run.identity:
                    by_identity.setdefault(found.run.identity, found)
                if found.row.victim:
                    by_digest.setdefault(found.row.victim, found)
        return by_identity, by_digest

    @cached_property
    def _by_identity(self) -> dict[str, tuple[str, str]]:
        """Of trained networks: a search is nobody's victim, though a thief may name it beside the network that is made of its cell."""
        trained = (found for found in self.rows if found.model and found.row.kind != "search")
        return {found.run.identity: (found.model, found.family) for found in trained if found.run.identity}

    def _plan(self) -> dict[str, Any]:
        path = self.root / "plan.json"
        if not path.is_file():
            return {}
        try:
            content = json.loads(path.read_text("utf-8"))
        except (OSError, ValueError):
            content = None
        if not isinstance(content, dict):
            self.notes.append(Note("plan.json", "cannot be read: the report goes by the rows alone"))
            return {}
        return content

    def _facts(self, folder: Path, place: str, inside: Collection[str]) -> dict[str, Any]:
        if "job.json" not in inside:
            return {}
        try:
            return read_facts(folder / "job.json")
        except (OSError, ValueError):
            self.notes.append(Note(f"{place}/job.json", "cannot be read as a job's note: passed over"))
            return {}

    def _add(self, run: RunFolder, job: dict[str, Any], seen: dict[str, _Job]) -> None:
        rows, complaints = read_rows(run.folder / "results.jsonl")
        where = f"{run.place}/results.jsonl".removeprefix("./")
        sizes: dict[str | None, tuple[str, str]] = {}
        self.notes += [Note(where, complaint) for complaint in complaints]
        twice: Counter[str] = Counter()
        for row in rows:
            if (there := seen.get(row.job)) is None:
                there = seen[row.job] = _Job(run.place)
            if (first := there.first(row, run.place)) != run.place:
                twice[first] += 1
                continue
            model, _, treatment = (row.model or "").partition(" + ")
            if row.dataset not in sizes:
                sizes[row.dataset] = _reduced(row, run, job), names.plain(row.dataset or "")
            self.rows.append(Found(row, run.folder, run.place, run, model, treatment, *sizes[row.dataset]))
        self.notes += [Note(where, f"{n} rows that {first} has too: passed over") for first, n in twice.items()]


def _gone(job: dict[str, Any]) -> dict[str, Any]:
    return {**job, "state": "gone", "error": f"its folder {job['folder']} is not there; the study, started again, makes it anew"}


class _Job:
    """The rows of one job. Most jobs have theirs in one folder, where none is there twice: keys are made once there is a second."""

    def __init__(self, place: str) -> None:
        self.place = place
        self.rows: list[Row] = []
        self.keys: dict[Hashable, str] | None = None

    def first(self, row: Row, place: str) -> str:
        """The first folder that has the row."""
        if self.keys is None and place == self.place:
            self.rows.append(row)
            return place
        if self.keys is None:
            self.keys = dict.fromkeys(map(_key, self.rows), self.place)
        return self.keys.setdefault(_key(row), place)


def _key(row: Row) -> Hashable:
    """Of rows of one job equal where `Row.key` is, ten times as fast."""
    return row.plugin, row.metric, row.victim, row.attack_seed, row.dataset, in_order(row.params)


def _reduced(row: Row, run: RunFolder, job: dict[str, Any]) -> str:
    """Why it is not at the paper's size: what was planned so, scaled down, or done on a stand-in for the paper's data."""
    stand_in = names.plain(row.dataset or "") in names.STAND_INS
    why = list(filter(None, (run.reduced, names.data(row.dataset) if stand_in else "")))
    planned = job.get("reduced") and names.plain(row.dataset or "") in names.PAPERS_DATA  # of other data it is the data that were meant
    return ", ".join(why) or ("planned so" if planned else "")
