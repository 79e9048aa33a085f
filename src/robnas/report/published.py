"""What the paper prints, from published.csv."""

from __future__ import annotations

import csv
from functools import cache
from importlib.resources import files
from typing import NamedTuple

from robnas.report import names


class Published(NamedTuple):
    """A value that the paper prints. where: "Table 1"; subject: as printed; model: its name in rows, None where it is a pair of models.

    values: most often one; of Table 3 depth, width, skips. metric: its name, or several parted by "|".
    """

    where: str
    subject: str
    model: str | None
    family: str
    dataset: str
    metric: str
    values: tuple[float, ...]
    note: str


@cache
def published() -> tuple[Published, ...]:
    """published.csv: every number that the paper prints in Tables 1 to 4."""
    text = (files("robnas.report") / "published.csv").read_text("utf-8")
    return tuple(
        Published(
            line["where"],
            line["subject"],
            names.known(line["subject"]),
            line["family"],
            names.plain(line["dataset"]),
            line["metric"],
            tuple(float(part) for part in line["value"].split("|")),
            line["note"],
        )
        for line in csv.DictReader(text.splitlines())
    )
