"""`robnas report DIR [DIR] [--out FILE]`: one page, its figures and tables from the rows below DIR; of two, side by side."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from robnas import atomic
from robnas.errors import UserError, require
from robnas.report.collected import Collected
from robnas.report.exhibit import Exhibit
from robnas.report.page import render
from robnas.report.sections import Progress, headline, page
from robnas.words import Parser


def main(words: list[str]) -> None:
    """The verb. Raises UserError."""
    parser = Parser(
        "robnas report", "One self-contained page of the rows below a folder, with figures/*.svg and tables/*.csv|.tex beside it."
    )
    parser.add_argument(
        "folders", nargs="+", metavar="DIR", help="a study's folder, or any folder of run folders; two: side by side, what changed"
    )
    parser.add_argument(
        "--out", metavar="FILE", help="the page (default: DIR/report.html; of two: the second's folder, against-FIRST.html)"
    )
    parser.add_argument("--wandb", choices=("off", "offline", "online"), default="off", help="also as tables to W&B (default: off)")
    options = parser.parse_args(words)
    require(len(options.folders) <= 2, f"report: one folder or two, and here are {len(options.folders)}")
    progress = _progress if sys.stderr.isatty() else _silent
    if len(options.folders) == 1:
        written, collected, exhibits = report(options.folders[0], options.out, progress)
    else:
        from robnas.report.compare import compare

        first, second = (collect(Path(folder)) for folder in options.folders)
        (written, exhibits), collected = compare(first, second, options.out, headline), second
    if sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr)
    for note in collected.notes[:5]:
        print(f"note: {note.where}: {note.what}", file=sys.stderr)
    if len(collected.notes) > 5:
        print(f"note: {len(collected.notes) - 5} more, at the page's end", file=sys.stderr)
    print(f"wrote {written}")
    if options.wandb != "off":
        from robnas.report.to_wandb import send

        print(send(exhibits, written.parent, collected.name, options.wandb), file=sys.stderr)


def report(
    folder: str | Path, out: str | Path | None = None, progress: Progress = lambda what: None
) -> tuple[Path, Collected, list[Exhibit]]:
    """The page of a study, what it stands on, and its exhibits. Raises UserError without rows, or where `out` cannot be written."""
    root = Path(folder)
    collected = collect(root)
    target = Path(out) if out is not None else root / "report.html"
    require(not target.is_dir(), f"--out: {target} is a folder; give a file such as {target / 'report.html'}")
    try:
        to_root = os.path.relpath(root.resolve(), target.resolve().parent).replace(os.sep, "/")
        made = page(collected, target.parent, to_root, progress)
        atomic.write(target, render(made))
    except OSError as error:
        raise UserError(f"cannot write {error.filename or target}: {error.strerror}") from None
    return target, collected, [exhibit for section in made.sections for exhibit, _ in section.exhibits]


def collect(root: Path) -> Collected:
    """Everything below. Raises UserError where that is nothing."""
    require(root.is_dir(), f"report: {root} is no folder")
    collected = Collected.read(root)
    if not collected.rows:
        why = f" ({collected.notes[0].where}: {collected.notes[0].what})" if collected.notes else ""
        raise UserError(f"report: no rows below {root}{why}; `robnas fit --runs {root} …` or `robnas study` makes some")
    return collected


def _progress(what: str) -> None:
    print(f"\r\033[K{what}", end="", file=sys.stderr, flush=True)


def _silent(what: str) -> None:
    pass


__all__: Sequence[str] = ["collect", "main", "report"]
