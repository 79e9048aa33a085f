"""An exhibit as files: figures/*.svg, tables/*.csv and tables/*.tex, each whole at every moment."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path
from typing import Any, NamedTuple

from robnas import atomic
from robnas.report.exhibit import Cell, Entry, Exhibit, Table
from robnas.report.svg import slim

_TEX = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", **{c: f"\\{c}" for c in "&%$#_{}"}}
_TEX |= {
    "−": "$-$",
    "±": r"$\pm$",
    "×": r"$\times$",
    "≥": r"$\ge$",
    "≤": r"$\le$",
    "∞": r"$\infty$",
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
}
_TEX |= {
    "ε": r"$\varepsilon$",
    "α": r"$\alpha$",
    "γ": r"$\gamma$",
    "τ": r"$\tau$",
    "→": r"$\rightarrow$",
    "†": r"$\dagger$",
    "′": "'",
    "Δ": r"$\Delta$",
}


class Written(NamedTuple):
    """Where an exhibit lies, relative to the report's folder; "" where there is no such file. image: the SVG's text."""

    svg: str = ""
    csv: str = ""
    tex: str = ""
    image: str = ""


def stem(exhibit: Exhibit) -> str:
    """Of its files, without what comes after the dot."""
    return re.sub(r"[^a-z0-9.-]+", "-", exhibit.key.lower()).strip("-.") or "exhibit"


def write(exhibit: Exhibit, folder: Path, address: str = "", image: str = "") -> Written:
    """Into folder/figures and folder/tables. address: of `folder` on the page; image: the figure's SVG where it has been drawn.

    Raises OSError; whatever the figure's drawing raises.
    """
    name, written = stem(exhibit), Written()
    if exhibit.figure is not None:
        image = image or svg(exhibit.figure, name)
        atomic.write(folder / "figures" / f"{name}.svg", image)
        written = written._replace(svg=f"{address}figures/{name}.svg", image=image)
    if exhibit.table is not None and exhibit.table.rows:
        atomic.write(folder / "tables" / f"{name}.csv", as_csv(exhibit.table))
        atomic.write(folder / "tables" / f"{name}.tex", as_tex(exhibit))
        written = written._replace(csv=f"{address}tables/{name}.csv", tex=f"{address}tables/{name}.tex")
    return written


def svg(figure: Any, name: str) -> str:
    """The figure's SVG; equal figures give equal texts. name: keeps the identifiers of several figures apart."""
    import matplotlib as mpl
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    text = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": name, "svg.fonttype": "path"}):
        FigureCanvasSVG(figure).print_svg(text, metadata={"Date": None})  # type: ignore[no-untyped-call]  # savefig draws twice
    return slim(text.getvalue())


def as_csv(table: Table) -> str:
    """Numbers in full; beside a column of which some number has an interval its ends, beside one with flags those. Empty: not there."""
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    intervals = [any(isinstance(row[i], Cell) and row[i].interval for row in table.rows) for i in range(len(table.columns))]  # type: ignore[union-attr]
    flagged = [any(isinstance(row[i], Cell) and row[i].flags for row in table.rows) for i in range(len(table.columns))]  # type: ignore[union-attr]
    heads = [
        (name, *((f"{name}: low", f"{name}: high") if a else ()), *((f"{name}: flags",) if b else ()))
        for name, a, b in zip(table.columns, intervals, flagged, strict=True)
    ]
    lines.writerow([*(["family"] if table.blocks else []), *(part for head in heads for part in head)])
    for number, row in enumerate(table.rows):
        out: list[object] = [table.blocks[number]] if table.blocks else []
        for entry, a, b in zip(row, intervals, flagged, strict=True):
            if isinstance(entry, Cell):
                out += [
                    entry.value if entry.there else entry.text,
                    *((entry.low, entry.high) if a else ()),
                    *(("; ".join(entry.flags),) if b else ()),
                ]
            else:
                out += [entry, *([None, None] if a else []), *([None] if b else [])]
        lines.writerow([_harmless(value) for value in out])
    return text.getvalue()


def as_tex(exhibit: Exhibit) -> str:
    """A booktabs table with its caption; what is not there is a dash."""
    table = exhibit.table
    assert table is not None
    lines = [
        r"% needs \usepackage{booktabs}",
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{tex(exhibit.title)}. {tex(exhibit.caption)}}}",
    ]
    lines += [rf"\label{{{exhibit.key}}}", rf"\begin{{tabular}}{{l{'r' * (len(table.columns) - 1)}}}", r"\toprule"]
    lines += [" & ".join(map(tex, table.columns)) + r" \\", r"\midrule"]
    for i, row in enumerate(table.rows):
        if i and table.blocks and table.blocks[i] != table.blocks[i - 1]:
            lines.append(r"\midrule")
        lines.append(" & ".join(map(_tex_entry, row)) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", r"\end{table}", ""])


def tex(text: str) -> str:
    """Text that TeX prints as it is."""
    return "".join(_TEX.get(letter, letter) for letter in text).replace("\n", " ")


def _tex_entry(entry: Entry) -> str:
    if entry is None:
        return "--"
    if isinstance(entry, str):
        return tex(entry)
    return tex(f"{entry.shown} {entry.interval}".rstrip()) + (r"$^\dagger$" if any(f.startswith("reduced") for f in entry.flags) else "")


def _harmless(value: object) -> object:
    """A text that a spreadsheet would take for a formula, kept from it."""
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r") else value
