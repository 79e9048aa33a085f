"""Table 3 from the published cells, beside what the paper prints; DARTS-i, -ii, -iii (§5.2, Fig. 15); pictures of all (Fig. 18).

    python tools/table_of_cells.py

Nothing is trained: the same file in a second. Writes the tables into --out between two markers, and two pictures beside it.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import side_by_side
from side_by_side import REPOSITORY, between, rule

from robnas.report.names import MODELS
from robnas.space import published
from robnas.space.drawing import draw_beside
from robnas.space.facts import RANDOM_CELLS, ranked

PRINTED = {
    "amoebanet": (4, 3, 2),
    "darts": (3, 3, 3),
    "drnas": (4, 2, 1),
    "enas": (2, 5, 2),
    "nasnet": (2, 5, 1),
    "pc_darts": (2, 4, 1),
    "pdarts": (4, 2, 2),
    "sgas": (3, 2, 1),
    "snas": (2, 4, 4),
}
"""Table 3 of Pang et al. (2022): depth, width in units of c, skip connects of the normal cell."""
WHY = {
    "darts": "DARTS: Table 3 has 3 skip connects. The published second-order cell (V2) has 2; the first-order cell (V1, `darts_v1`) has 3, "
    "and so has V2's reduction cell.",
    "nasnet": "NASNet: Table 3 has 1 skip connect; the published cell has 2. Its reduction cell has 1.",
}
"""Where the cells differ from the printed numbers, and what might have been counted."""
VARIANTS = ("darts", "darts_i", "darts_ii", "darts_iii")
TABLE_3 = ("depth", "width", "skips")
BEGIN, END = "<!-- tables of cells: written by tools/table_of_cells.py -->", "<!-- end of the tables of cells -->"


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--out", type=Path, default=REPOSITORY / "docs" / "cells.md", help="the tables' place; pictures go beside it")
    options = parser.parse_args(argv)
    side_by_side.write_between(options.out, tables(), BEGIN, END)
    for name, cells in {"cells.svg": (*PRINTED, "random"), "cells-darts.svg": VARIANTS}.items():
        draw_beside({MODELS[cell]: published.find(cell) for cell in cells}, options.out.with_name(name), ("normal",))
    print(f"{tables()}\nwrote {options.out}, cells.svg and cells-darts.svg beside it")
    return 0


def facts(name: str) -> dict[str, Any]:
    """Of the normal cell, with percentiles."""
    return ranked(published.find(name), "normal")


def differences() -> list[str]:
    """Cells whose depth, width or skip connects are not as printed."""
    return [name for name, printed in PRINTED.items() if tuple(facts(name)[fact] for fact in TABLE_3) != printed]


def tables() -> str:
    """Markdown: Table 3; the mitigations."""
    first = [_head("skips as printed"), rule(10)]
    for name in (*PRINTED, "random"):
        own, printed = facts(name), PRINTED.get(name)
        cells = [MODELS[name], *(str(own[fact]) for fact in TABLE_3)]
        cells.append("–" if printed is None else f"{printed[2]}" if printed[2] == own["skips"] else f"**{printed[2]}**")
        first.append(f"| {' | '.join([*cells, *_more(own)])} |")
    second = [_head(), rule(9)]
    for name in VARIANTS:
        own = facts(name)
        second.append(f"| {' | '.join([MODELS[name], *(str(own[fact]) for fact in TABLE_3), *_more(own)])} |")
    shape = sum(tuple(facts(name)[fact] for fact in ("depth", "width")) == printed[:2] for name, printed in PRINTED.items())
    skips = sum(facts(name)["skips"] == printed[2] for name, printed in PRINTED.items())
    ranks = {fact: [facts(name)["percentile"][fact] for name in PRINTED] for fact in TABLE_3}
    means = ", ".join(f"{fact} {between(values, 0, most=100)}" for fact, values in ranks.items())
    text = (
        f"Depth and width are as printed in {shape} of {len(PRINTED)} rows, skip connects in {skips}; of what differs (bold) the cells are "
        f"right. {' '.join(WHY[name] for name in differences())} Random is not in the paper's table.\n\n"
        f"Percentiles are among {RANDOM_CELLS:,} uniform draws of DARTS's space with as many nodes, and equal ones count half; the "
        "standard error is at most 1.6. AmoebaNet, ENAS and NASNet were searched in a space of their own, in which a node may read one "
        "source twice and loose ends alone make the output. Mean percentile of the nine, with Student's 95% interval, where random cells "
        f"have 50: {means}."
    )
    return "\n".join([*first, "", text, "", *second])


def _head(*more: str) -> str:
    percentiles = [f"{fact}: percentile" for fact in TABLE_3]
    return f"| {' | '.join(['cell', *TABLE_3, *more, 'convolutions', 'density', *percentiles])} |"


def _more(own: dict[str, Any]) -> list[str]:
    return [str(own["convolutions"]), f"{own['density']:.2f}", *(f"{own['percentile'][fact]:.0f}" for fact in TABLE_3)]


if __name__ == "__main__":
    raise SystemExit(side_by_side.ended(main))
