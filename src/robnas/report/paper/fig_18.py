"""Fig. 18: the cells, drawn beside each other."""

from __future__ import annotations

from robnas.report import names
from robnas.report.collected import Collected
from robnas.report.exhibit import Exhibit
from robnas.report.paper.cells_found import named
from robnas.report.paper.cells_picture import rows_of_cells

CELLS = ("amoebanet", "darts", "drnas", "enas", "nasnet", "pc_darts", "pdarts", "sgas", "snas", "random")
"""The ten methods of §3.1."""


def exhibit(collected: Collected) -> Exhibit:
    """Needs no rows: published cells are data."""
    cells = {names.model(name): genotype for name in CELLS if (genotype := named(name)) is not None}
    return Exhibit("fig-18", "Fig. 18", "Cells of the ten methods", CAPTION, rows_of_cells(cells)[0])


CAPTION = (
    "Normal cell, and reduction cell beside it; above each its depth, width and skip connects as in Table 3. Published cells, which "
    "rows call by these "
    "names; Random is that of the authors' code. A colour and a dash is a kind of operation. Inputs are the outputs of the two cells "
    "before; "
    "what a node computes is the sum of its two operations."
)
