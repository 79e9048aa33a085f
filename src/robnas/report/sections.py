"""The report's sections, in order, each with one idea; an exhibit that cannot be made is named, and ends nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from robnas._version import __version__
from robnas.report import against, beyond, claims, claims_table, files, finding, names, paper, provenance
from robnas.report.collected import Collected
from robnas.report.exhibit import Exhibit
from robnas.report.found import Note
from robnas.report.matrix import matrices
from robnas.report.page import Page, Section
from robnas.report.pictures import Picture, Pictures
from robnas.report.verdicts import Verdict

Progress = Callable[[str], None]


def page(
    collected: Collected, folder: Path, to_root: str = ".", progress: Progress = lambda what: None, pictures: Pictures | None = None
) -> Page:
    """The page of one study; its exhibits' files go into `folder`. to_root: from there to the study's folder; pictures: where to draw."""
    maker = Maker(collected, progress, pictures or Pictures(apart=False))
    drawn = [  # made first, as another process may draw them while the rest is made
        maker.papers(),
        *maker.optional("trade-off", "Robust, or accurate?", TRADE_OFF, lambda: maker.further("accuracy_robustness")),
        *maker.optional("cells", "Cells beside their robustness", CELLS, lambda: maker.further("cells_robustness")),
        *maker.optional("predicts", "What goes with vulnerability", PREDICTS, lambda: maker.further("probe_attack", "attack_attack")),
        *maker.optional("searches", "What a search's settings change", SEARCHES, lambda: maker.further("searches")),
    ]
    made = [
        *maker.finding(),
        Section("matrix", "Models × attacks", MATRIX, unwritten(maker.several("matrix", lambda: matrices(collected)))),
        *maker.claims(),
        *maker.optional("published", "Ours against published", PUBLISHED, maker.published),
        *maker.optional(
            "deviations",
            "Departures from the paper",
            DEVIATIONS,
            lambda: some(provenance.deviations(collected), provenance.flags(collected)),
        ),
        *maker.optional("provenance", "Provenance", PROVENANCE, lambda: some(provenance.versions(collected), provenance.jobs(collected))),
    ]
    runs = Section("runs", "Runs", RUNS, runs=tuple(provenance.run_folders(collected, to_root)))
    maker.pictures.help()
    sections = [maker.written(section, folder) for section in sorted([*drawn, *made], key=lambda section: ORDER.index(section.key))]
    if notes := provenance.notes(collected):
        sections.append(Section("notes", "What was passed over", NOTES, notes=tuple(notes)))
    return Page(
        collected.name,
        [*sections, runs],
        facts(collected),
        banner(collected),
        FOOT.format(__version__, datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")),
        daggers=not collected.all_reduced,
    )


class Maker:
    """Makes exhibits and their files. A bug in one of them costs that one: it is shown where the exhibit would be, and noted."""

    def __init__(self, collected: Collected, progress: Progress, pictures: Pictures) -> None:
        self.collected, self.progress, self.pictures = collected, progress, pictures
        self.begun: dict[str, Picture] = {}

    def one(self, key: str, function: Callable[[], Exhibit]) -> Exhibit:
        """The exhibit, of which the figure may be drawn from now on; or one that says why there is none."""
        self.progress(key)
        try:
            exhibit = function()
        except Exception as error:  # whatever it is: of thirty exhibits the others are wanted
            what = f"{type(error).__name__}: {error}"
            self.collected.notes.append(Note(key, f"could not be made: {what}"))
            return Exhibit(key, "", key, "", missing=f"{BUG}: {what}")
        if exhibit.figure is not None and exhibit.key not in self.begun:
            self.begun[exhibit.key] = self.pictures.start(exhibit.figure, files.stem(exhibit))
        return exhibit

    def several(self, key: str, function: Callable[[], Iterable[Exhibit]]) -> list[Exhibit]:
        """As `one`, of functions that make several."""
        made: list[Exhibit] = []

        def make() -> Exhibit:
            made.extend(function())
            return Exhibit(key, "", "", "")

        failed = self.one(key, make)
        return [*made, *([failed] if failed.missing else [])]

    def written(self, section: Section, folder: Path) -> Section:
        """With the files of its exhibits."""
        out = []
        for exhibit, _ in section.exhibits:
            found: list[files.Written] = []

            def write(exhibit: Exhibit = exhibit, found: list[files.Written] = found) -> Exhibit:
                picture = self.begun.get(exhibit.key)
                found.append(files.write(exhibit, folder, image=picture.svg if picture else ""))
                return exhibit

            out.append((self.one(exhibit.key, write), found[0] if found else files.Written()))
        return replace(section, exhibits=tuple(out))

    def optional(self, key: str, title: str, about: str, function: Callable[[], Iterable[Exhibit]]) -> list[Section]:
        """A section, unless it would be empty."""
        made = self.several(key, function)
        return [Section(key, title, about, unwritten(made))] if made else []

    def claims(self) -> list[Section]:
        """Tests of the paper's claims; of nobody's models but one's own there are none to make. What could not be tested is folded."""
        if not self.collected.of_families:
            return []
        key, title = "claims", "Which claims of the paper hold"
        made = self.several(key, lambda: claims_table.exhibits(self.verdicts, not self.collected.all_reduced))
        rest: list[str] = []

        def untested() -> Exhibit:
            rest.extend(claims_table.untested(self.verdicts))
            return Exhibit(key, "", "", "")

        self.one(key, untested)
        many = f"{len(rest)} claim{'s' * (len(rest) != 1)} that could not be tested, and why"
        return [Section(key, title, CLAIMS, unwritten(made), aside=(many, tuple(rest)))] if made or rest else []

    def published(self) -> list[Exhibit]:
        """Nothing, where no number of ours stands beside one of the paper's."""
        made = against.exhibit(self.collected)
        assert made.table is not None
        at = made.table.columns.index("ours")
        return [made] if any(row[at] is not None for row in made.table.rows) else []

    def papers(self) -> Section:
        """The paper's, in its order; what there are no rows for is folded, with what it would take."""
        nas = any(family == "nas" for _, family in self.collected.models())
        made = [self._paper(name) for name in paper.ORDER if nas or _key(name) not in OF_CELLS]
        there = [exhibit for exhibit in made if not exhibit.empty or exhibit.missing.startswith(BUG)]
        rest = tuple(f"{one.label} {one.title}: {one.missing or 'nothing to show yet'}" for one in made if one not in there)
        many = f"{len(rest)} of them that there are no rows for, and what they would take"
        return Section("paper", "The paper's tables and figures", PAPER, unwritten(there), aside=(many, rest))

    def _paper(self, name: str) -> Exhibit:
        """Of a module of `paper`."""
        exhibit = self.one(_key(name), lambda: paper.function(name)(self.collected))
        if exhibit.label:
            return exhibit
        kind, _, number = name.partition("_")
        label = f"{'Fig.' if kind == 'fig' else 'Table'} {int(number)}"
        return Exhibit(exhibit.key, label, "", exhibit.caption, missing=exhibit.missing)

    @cached_property
    def verdicts(self) -> list[Verdict]:
        """Every claim, tested once."""
        self.progress("claims")
        return claims.judge(self.collected)

    def finding(self) -> list[Section]:
        """What was found, in a sentence, and what must be known beside it."""
        said: list[str] = []

        def make() -> Exhibit:
            said.extend(finding.sentences(self.collected, self.verdicts))
            return Exhibit("finding", "", "", "")

        failed = self.one("finding", make)
        return [Section("finding", "What was found", lead=tuple(said[:1]), notes=(*said[1:], *filter(None, [failed.missing])))]

    def further(self, *modules: str) -> list[Exhibit]:
        """Of those beyond the paper; what a study has nothing of is left out."""
        made = [self.one(name.replace("_", "-"), lambda name=name: beyond.function(name)(self.collected)) for name in modules]  # type: ignore[misc]
        return [exhibit for exhibit in made if not exhibit.empty or exhibit.missing.startswith(BUG)]


def _key(module: str) -> str:
    """ "fig_02" → "fig-2"."""
    return module.replace("_0", "-").replace("_", "-")


def unwritten(exhibits: Iterable[Exhibit]) -> tuple[tuple[Exhibit, files.Written], ...]:
    """As a section has them before `Maker.written`."""
    return tuple((exhibit, files.Written()) for exhibit in exhibits)


def some(*exhibits: Exhibit | None) -> list[Exhibit]:
    """Those that are there."""
    return [exhibit for exhibit in exhibits if exhibit is not None]


def facts(collected: Collected) -> list[tuple[str, str]]:
    """What the study is, in a line."""
    models = collected.models(found for found in collected.rows if found.row.kind != "search")
    families = [f"{n} {look.title}" for family, look in names.FAMILIES.items() if (n := sum(f == family for _, f in models))]
    data = list(dict.fromkeys(names.data(found.row.dataset) for found in collected.rows if found.row.dataset))
    attacks = {names.plain(found.row.plugin) for found in collected.rows if found.row.kind == "attack"}
    probes = {names.plain(found.row.plugin) for found in collected.rows if found.row.kind == "probe"}
    planned = {job.get("seed") for job in collected.jobs if job.get("kind") == "train"}  # a thief's seed is none of the models'
    seeds = planned or {found.row.train_seed for found in collected.rows if found.row.train_seed is not None}
    states: dict[str, Any] = {}
    for job in collected.jobs:
        states[str(job.get("state"))] = states.get(str(job.get("state")), 0) + 1
    gone = f", {states['gone']} gone" if "gone" in states else ""
    done = f"{states.get('done', 0)} of {len(collected.jobs)}{gone}" if collected.jobs else ""
    pairs = [
        ("data", ", ".join(data)),
        ("models", f"{len(models)} ({', '.join(families)})"),
        ("attacks", str(len(attacks) or "")),
        ("probes", str(len(probes) or "")),
        ("training seeds", str(len(seeds) or "")),
        ("jobs done", done),
        ("rows", f"{len(collected.rows):,}"),
        ("robnas", __version__),
    ]
    return [(name, value) for name, value in pairs if value]


def banner(collected: Collected) -> str:
    """What must be known before any number is read; "" where all is at full size."""
    why, n = provenance.reduced(collected), len(collected.rows)
    if not why:
        return ""
    said = "; ".join(list(why)[:4])
    if collected.all_reduced:
        return (
            f"Everything here is reduced ({said}): it shows that every part runs and how results read, "
            "not what the paper's models do at full size."
        )
    return f"{sum(why.values()):,} of {n:,} rows are reduced ({said}); their numbers carry †."


ORDER = ("finding", "matrix", "trade-off", "claims", "cells", "predicts", "searches", "paper", "published", "deviations", "provenance")
"""Of sections."""
MATRIX = (
    "Each row a model, each column an attack. A number leads to the runs that it is from: their configs and their commands. "
    "A click on a head sorts by it."
)
TRADE_OFF = "Whether models that are more accurate on clean images are easier or harder to break."
CLAIMS = "Each remark and claim of the paper as a test, under each protocol that the study has rows of."
CELLS = "Beyond the paper: how a cell is built, beside how easily the networks made of it break."
PREDICTS = "Beyond the paper: what probes measure without an attack against what attacks found, and attacks against each other."
SEARCHES = "Beyond the paper: what n_step and γ do to the cells that a search finds."
BUG = "a bug in robnas to be mended"
PAPER = "In the paper's order. Each with its numbers as CSV and TeX."
OF_CELLS = ("table-3", "table-4", "fig-15", "fig-18")
"""They show published cells and numbers in any case, which say nothing of models that no search has made."""
PUBLISHED = "Every number that the paper prints. Sort by the last column to see where we differ most."
DEVIATIONS = "What is done otherwise than in the paper's text, and which numbers are doubtful."
PROVENANCE = "What these numbers were made with."
NOTES = "Files and lines that could not be read as robnas's rows."
RUNS = "Every run folder with rows: the command that made it, its configuration, its rows."
FOOT = "Made by robnas {} on {}. After Pang et al., On the Security Risks of AutoML, USENIX Security 2022. Intervals are 95%."
