"""The cells of a study: those that have a name, and those that its searches found."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from robnas.errors import UserError
from robnas.report import names, searched
from robnas.report.collected import Collected
from robnas.report.found import Found
from robnas.report.paper.over_seeds import Who, who
from robnas.space import published
from robnas.space.genotype import Genotype

FILE = "genotype.yaml"
"""In the run folder of a search, and of the training of a cell."""


class Search(NamedTuple):
    """A search and its cell. name: its model in rows; seed: of the search; place: its run folder; params: as its rows have them."""

    name: str
    seed: int | None
    place: str
    params: Mapping[str, Any]
    genotype: Genotype | None

    @property
    def variant(self) -> str:
        """Of a DARTS: which of §5.2's four it is by n_step and γ, whatever its run is called; of any other search its name."""
        return searched.variant(self.name, self.params)

    @property
    def n_step(self) -> int:
        """Weight steps for each architecture step (Eq. 4)."""
        return searched.n_step(self.params)

    @property
    def gamma(self) -> float:
        """By which skip connects are damped (§5.2)."""
        return searched.gamma(self.params)

    @property
    def damping(self) -> str:
        """ "½ on weight", "1"."""
        share = {0.5: "½", 0.25: "¼", 0.75: "¾"}.get(self.gamma, f"{self.gamma:g}")
        return f"{share} on {'α' if self.params.get('damp') == 'alpha' else 'weight'}" if self.gamma < 1 else "1"

    @property
    def title(self) -> str:
        """ "DARTS-iii, searched (n_step 5, γ = ½ on weight), seed 0"."""
        told = [f"n_step {self.n_step}"] * (self.n_step > 1) + [f"γ = {self.damping}"] * (self.gamma < 1)
        how = f" ({', '.join(told)})" if told else ""
        return f"{names.model(self.variant)}, searched{how}" + ("" if self.seed is None else f", seed {self.seed}")


def searches(collected: Collected) -> list[Search]:
    """The finished searches of this study, in the report's order, then by n_step, γ and seed."""
    rows = collected.select(kind="search", metric="normal/depth")
    found = [Search(row.model, row.seed, row.place, row.params, of_file(row.folder / FILE)) for row in rows]
    return sorted(found, key=lambda s: (names.order(s.variant, "nas"), s.n_step, -s.gamma, s.damping, s.seed or 0, s.place))


def of_models(rows: Iterable[Found]) -> dict[Who, Genotype]:
    """The cell of each model that has one. A name that was searched from several seeds has several: that of the first seed."""
    cells: dict[Who, Genotype] = {}
    for found in sorted(rows, key=lambda f: (f.row.search_seed or 0, f.place)):
        if found.family == "manual" or who(found) in cells:
            continue
        genotype = of_file(found.folder / FILE) or (None if who(found).searched else named(found.model))
        if genotype is not None:
            cells[who(found)] = genotype
    return cells


def named(name: str) -> Genotype | None:
    """A published cell; None for a name that is none."""
    try:
        return published.entry(name).genotype
    except UserError:
        return None


@cache
def of_file(path: Path) -> Genotype | None:
    """None where there is none, or none that can be read."""
    if not path.is_file():
        return None
    try:
        return published.read(path)
    except UserError:
        return None
