"""A row of a study where it lies, and a note on what was passed over."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any, NamedTuple

from numpy.typing import NDArray

from robnas.report import names
from robnas.report.rundirs import RunFolder
from robnas.results import Row, Rows


class Note(NamedTuple):
    """What was passed over, or read with reserve. where: relative to the study's folder; what: in a line."""

    where: str
    what: str


@dataclass(frozen=True, slots=True)
class Found:
    """A row where it lies.

    row: as written. folder: that it lies in; place: the same, relative to the study's folder. run: the run folder's facts.
    model: the architecture, without what was done to its training ("resnet" of "resnet + badnets"), and by its searcher's name ("darts_iii"
    of "darts_iii-3fa9c1"); treatment: what was done ("badnets", or "").
    reduced: why it is not at the paper's size ("scale tiny", "Digits"), "" where it is. dataset: in small letters: "digits", "cifar10".
    """

    row: Row
    folder: Path
    place: str
    run: RunFolder
    model: str
    treatment: str
    reduced: str
    dataset: str

    @property
    def value(self) -> float:
        """NaN where there is none."""
        return math.nan if self.row.value is None else self.row.value

    @property
    def low(self) -> float | None:
        """Lower end of the row's own interval (over inputs); None where there is none or it is infinite."""
        return self.row.ci[0] if self.row.ci and math.isfinite(self.row.ci[0]) else None

    @property
    def high(self) -> float | None:
        """Upper end."""
        return self.row.ci[1] if self.row.ci and math.isfinite(self.row.ci[1]) else None

    @property
    def params(self) -> dict[str, Any]:
        """Arguments of the attack or probe."""
        return self.row.params

    @property
    def family(self) -> str:
        """ "nas", "manual" or "custom"."""
        return self.row.family

    @property
    def seed(self) -> int | None:
        """Of the training; of a search's rows that of the search."""
        return self.row.search_seed if self.row.kind == "search" else self.row.train_seed

    @property
    def title(self) -> str:
        """The model in print."""
        return names.model(self.model)

    @property
    def order(self) -> tuple[int, int, str]:
        """To sort by: families as blocks, the paper's order within."""
        return names.order(self.model, self.row.family)

    @property
    def block(self) -> str:
        """The config's block that asked for it ("pgd_most"), which the file of outcomes is called by; else the plug-in."""
        return PurePath(self.row.outcomes).stem.rpartition("-")[0].split(".")[0] if self.row.outcomes else self.row.plugin

    def outcomes(self) -> dict[str, NDArray[Any]]:
        """What happened to each input, or a probe's arrays. Raises UserError where there are none."""
        return Rows(self.folder / "results.jsonl").read_outcomes(self.row)
