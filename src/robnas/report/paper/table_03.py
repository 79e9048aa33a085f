"""Table 3: depth, width and skip connects of the cells, ours beside the printed ones."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from robnas.report import names
from robnas.report.collected import Collected
from robnas.report.exhibit import Cell, Entry, Exhibit, Table
from robnas.report.paper.cells_found import Search, named, searches
from robnas.report.published import Published
from robnas.space.facts import RANDOM_CELLS, ranked
from robnas.space.genotype import Genotype

FACTS = ("depth", "width", "skips")
"""What Table 3 has of the normal cell."""
MORE = ("convolutions", "density")
"""Fig. 14's discussion: what adversarial training may depend on."""
NAMES = (*(name for name in names.MODELS if name != "darts_v1"), "darts_v1")
WHY = {
    "darts": "DARTS is printed with 3 skip connects; the published second-order cell (V2) has 2. The first-order cell (V1, darts_v1) "
    "has 3, and "
    "so has V2's reduction cell.",
    "nasnet": "NASNet is printed with 1; the published cell has 2. Its reduction cell has 1.",
}
"""Where the cells differ from the printed numbers, and what might have been counted."""
ABOUT = {
    "depth": "connections on the longest path from the cell's inputs to its output, the last one included",
    "width": "nodes all of whose sources are inputs of the cell, in units of a node's channels",
    "skips": "skip connects of the normal cell",
    "convolutions": "operations with weights",
    "density": "share of all possible connections between nodes that are there (Guo et al., 2020)",
    "percentile": f"among {RANDOM_CELLS:,} uniform draws of DARTS's space, equal ones count half",
}


def exhibit(collected: Collected) -> Exhibit:
    """Needs no rows: the cells are data. What the study's searches found stands below."""
    printed = {one.model: one for one in collected.published if one.where == "Table 3" and one.model}
    cells = {name: genotype for name in NAMES if (genotype := named(name)) is not None}
    found = [search for search in searches(collected) if search.genotype is not None]
    rows: list[tuple[Entry, ...]] = [_row(names.model(name), genotype, printed.get(name)) for name, genotype in cells.items()]
    blocks = ["published" if name in printed or name in ("random", "darts_v1") else "§5.2, as the authors' code has them" for name in cells]
    order = sorted(range(len(rows)), key=lambda i: (blocks[i] != "published", i))  # V1 beside the others
    rows, blocks = [rows[i] for i in order], [blocks[i] for i in order]
    rows += [_row(search.title, search.genotype, None, (search.place,)) for search in found if search.genotype]
    blocks += ["searched in this study"] * len(found)
    columns = (
        "cell",
        *(f"{fact}{part}" for fact in FACTS for part in ("", ", printed")),
        *MORE,
        *(f"{fact}: percentile" for fact in FACTS),
    )
    about = {column: ABOUT[column.partition(",")[0]] if ":" not in column else ABOUT["percentile"] for column in columns[1:]}
    return Exhibit(
        "table-3",
        "Table 3",
        "Depth, width and skip connects of cells",
        _caption(cells, printed, found),
        None,
        Table(columns, tuple(rows), tuple(blocks), about),
    )


def differences(cells: Mapping[str, Genotype], printed: Mapping[str, Published]) -> list[tuple[str, str]]:
    """(cell, fact) that is not as printed."""
    return [
        (name, fact)
        for name, genotype in cells.items()
        if name in printed
        for fact, value in zip(FACTS, printed[name].values, strict=True)
        if getattr(genotype.normal, fact) != value
    ]


def _row(title: str, genotype: Genotype, printed: Published | None, runs: tuple[str, ...] = ()) -> tuple[Entry, ...]:
    own = ranked(genotype, "normal")
    cells: list[Entry] = []
    for fact, theirs in zip(FACTS, printed.values if printed else (None,) * len(FACTS), strict=True):
        cells.append(Cell(own[fact], text=str(own[fact]), runs=runs if fact == "depth" else ()))
        differs = theirs is not None and theirs != own[fact]
        cells.append("–" if theirs is None else Cell(theirs, text=f"{theirs:.0f}", flags=("differs",) * differs))
    more = [Cell(own["convolutions"], text=str(own["convolutions"])), Cell(own["density"], text=f"{own['density']:.2f}")]
    ranks = [Cell(own["percentile"][fact], text=f"{own['percentile'][fact]:.0f}") for fact in FACTS]
    return (title, *cells, *more, *ranks)


def _caption(cells: Mapping[str, Genotype], printed: Mapping[str, Published], found: Iterable[Search]) -> str:
    wrong = differences(cells, printed)
    right = {fact: len(printed) - sum(what == fact for _, what in wrong) for fact in FACTS}
    same = "; ".join(f"{fact} as printed in {n} of {len(printed)} rows" for fact, n in right.items())
    why = " ".join(WHY.get(name, f"{names.model(name)} differs in {fact}.") for name, fact in wrong)
    return (
        f"Of normal cells: {same}. Where they differ, the cells are right. {why} Width counts nodes all of whose sources are inputs of the "
        "cell: that reproduces all printed widths, the text's own definition four of them. Random and DARTS (V1) are not in the paper's "
        "table. DARTS-i, -ii, -iii are edits of DARTS by hand, which no search in its space can find where a node reads one source "
        "twice; the "
        "paper's “5 versus 2” mixes two conventions: by one it is 5 versus 3. Percentiles are among "
        f"{RANDOM_CELLS:,} random cells of DARTS's space."
        + (
            " Searched in this study: at the size that its plan says, so what a search finds here is no reproduction."
            if any(True for _ in found)
            else ""
        )
    )
