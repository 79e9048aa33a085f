"""Fig. 15: DARTS and its three variants, as the authors edited them and as searches found them."""

from __future__ import annotations

from robnas.report import names
from robnas.report.collected import Collected
from robnas.report.exhibit import Cell, Entry, Exhibit, Table
from robnas.report.paper.cells_found import Search, named, searches
from robnas.report.paper.table_03 import FACTS
from robnas.report.searched import VARIANTS
from robnas.space.drawing import figure_of
from robnas.space.genotype import Genotype


def exhibit(collected: Collected) -> Exhibit:
    """The authors' cells need no rows; below them a searched one of each variant."""
    by_hand = {f"{names.model(name)} (the authors' cell)": genotype for name in VARIANTS if (genotype := named(name)) is not None}
    found = [search for search in searches(collected) if search.variant in VARIANTS and search.genotype is not None]
    first = {search.variant: search for search in reversed(found)}
    drawn = by_hand | {first[name].title: cell for name in VARIANTS if name in first and (cell := first[name].genotype) is not None}
    rows = [_row(title, genotype) for title, genotype in by_hand.items()] + [_row(s.title, s.genotype) for s in found if s.genotype]
    blocks = ["edited by hand"] * len(by_hand) + ["searched in this study"] * len(found)
    columns = ("cell", *(f"{fact}, {kind}" for kind in ("normal", "reduce") for fact in FACTS))
    missing = [names.model(name) for name in VARIANTS if name not in first]
    lacks = f"searches of {', '.join(missing)}: robnas fit --config darts_i.yaml, … (robnas study mitigation.yaml)" if missing else ""
    table = Table(columns, tuple(rows), tuple(blocks))
    return Exhibit("fig-15", "Fig. 15", "Cells of DARTS and its variants", _caption(found), figure_of(drawn, ("normal",)), table, lacks)


def _row(title: str, genotype: Genotype) -> tuple[Entry, ...]:
    values = [getattr(genotype.cells[kind], fact) for kind in ("normal", "reduce") for fact in FACTS]
    return (title, *(Cell(value, text=str(value)) for value in values))


def _caption(found: list[Search]) -> str:
    return (
        "Normal cells. The paper's code has neither an n_step nor a γ: its three variants are DARTS's cell edited by hand, -i by "
        "feeding every "
        "node by the one before it, -ii by a second convolution in the place of every skip connect, -iii by both. "
        + (
            "Searched: DARTS with n_step > 1 (i), γ < 1 (ii), or both (iii); drawn is the first seed, all stand in the table."
            if found
            else ""
        )
    )
