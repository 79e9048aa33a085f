"""`robnas report DIR [DIR] [--out FILE]`: one page, its figures and tables from the rows below DIR; of two, side by side."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from robnas import atomic
from robnas.errors import UserError, require
from robnas.report.collected import Collected
from robnas.report.exhibit import Exhibit
from robnas.report.page import render
from robnas.report.pictures import Pictures
from robnas.report.progress import Said, silent
from robnas.report.sections import Progress, page
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
    progress = Said()
    with _untidied():
        if len(options.folders) == 1:
            with Pictures() as pictures:
                written, collected, exhibits = report(options.folders[0], options.out, progress, pictures)
        else:
            from robnas.report.compare import compare

            first, second = (collect(Path(folder), progress) for folder in options.folders)
            (written, exhibits), collected = compare(first, second, options.out), second
            collected.notes[:0] = first.notes
    progress.done()
    for note in collected.notes[:5]:
        print(f"note: {note.where}: {note.what}", file=sys.stderr)
    if len(collected.notes) > 5:
        print(f"note: {len(collected.notes) - 5} more, at the page's end", file=sys.stderr)
    print(f"wrote {written}")
    if options.wandb != "off":
        from robnas.report.to_wandb import send

        print(send(exhibits, written.parent, collected.name, options.wandb), file=sys.stderr)


def report(
    folder: str | Path, out: str | Path | None = None, progress: Progress = silent, pictures: Pictures | None = None
) -> tuple[Path, Collected, list[Exhibit]]:
    """The page of a study, what it stands on, and its exhibits. Raises UserError without rows, or where `out` cannot be written.

    pictures: where figures are drawn; in this process if not given.
    """
    root = Path(folder)
    collected = collect(root, progress)
    target = Path(out) if out is not None else root / "report.html"
    require(not target.is_dir(), f"--out: {target} is a folder; give a file such as {target / 'report.html'}")
    try:
        to_root = os.path.relpath(root.resolve(), target.resolve().parent).replace(os.sep, "/")
        made = page(collected, target.parent, to_root, progress, pictures)
        progress("the page")
        atomic.write(target, render(made))
    except OSError as error:
        raise UserError(f"cannot write {error.filename or target}: {error.strerror}") from None
    return target, collected, [exhibit for section in made.sections for exhibit, _ in section.exhibits]


def collect(root: Path, progress: Progress = silent) -> Collected:
    """Everything below. Raises UserError where that is nothing."""
    require(root.is_dir(), f"report: {root} is no folder")
    with _untidied():
        collected = Collected.read(root, progress)
        gc.freeze()
    if not collected.rows:
        why = f" ({collected.notes[0].where}: {collected.notes[0].what})" if collected.notes else ""
        raise UserError(f"report: no rows below {root}{why}; `robnas fit --runs {root} …` or `robnas study` makes some")
    return collected


@contextmanager
def _untidied() -> Iterator[None]:
    """Rows and figures stay to the end, and are thousands of objects: to look for garbage among them took a quarter of the time."""
    watched = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if watched:
            gc.enable()


__all__: Sequence[str] = ["collect", "main", "report"]
