"""What the tables of this folder share: jobs of a pool, the numbers of a run, intervals, a page between two markers, a picture."""

import argparse
import csv
import json
import math
import os
import platform
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

from robnas import atomic
from robnas.errors import UserError, require
from robnas.provenance import versions
from robnas.results import Row, Rows
from robnas.statistics import student, wilson
from robnas.study import Outcome

REPOSITORY = Path(__file__).resolve().parents[1]
Run = dict[str, Any]
"""By name, what the rows of a run say; "seed" among it."""


# What is run


def arguments(about: str, out: Path, numbers: Path) -> argparse.ArgumentParser:
    """Those of every table."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="jobs at a time, one thread each")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="folder of all run folders")
    parser.add_argument("--out", type=Path, default=out, help="the table's place; the picture goes beside it, as .svg")
    parser.add_argument("--numbers", type=Path, default=numbers)
    parser.add_argument("--flags", nargs="*", default=[], help="further flags of every training, such as trainer.max_epochs=1")
    return parser


def check_seeds(seeds: Sequence[int]) -> None:
    """Raises UserError where one is named twice: it would be counted twice."""
    require(len(set(seeds)) == len(seeds), f"--seeds: {list(seeds)} names a seed twice")


def check_once(option: str, values: Sequence[Any]) -> None:
    """Raises UserError where a value is named twice: its runs would be counted twice, and look like other seeds."""
    require(len(set(values)) == len(values), f"--{option}: {list(values)} names one twice")


def common(seed: int, root: Path, flags: Iterable[str] = ()) -> list[str]:
    """What every `fit` gets behind its own config."""
    own = [f"--{flag.removeprefix('--')}" for flag in flags]
    return ["--config", "digits.yaml", f"--seed_everything={seed}", "--wandb=off", f"--runs={root}", *own]


def failures(outcomes: Iterable[Outcome]) -> list[str]:
    """A line for each job that failed."""
    return [f"failed: {outcome}" for outcome in outcomes if not outcome.good]


def ended(main: Callable[[], int]) -> int:
    """Exit status of a tool: a wrong value ends in one line, as everywhere."""
    try:
        return main()
    except UserError as error:
        print(f"{Path(sys.argv[0]).name}: {' '.join(str(error).split())}", file=sys.stderr)
        return 2


# What is read


def accuracy(folder: Path) -> Row:
    """Of the test at the end of a training."""
    (row,) = [row for row in Rows(folder / "results.jsonl").read() if row.kind == "train" and row.plugin == "accuracy"]
    return row


def training(folder: Path) -> Run:
    """accuracy, n and training_seconds, wall clock, of all parts where it was killed in between."""
    row = accuracy(folder)
    with (folder / "metrics.csv").open(encoding="utf-8", newline="") as file:
        seconds = [float(line["seconds"]) for line in csv.DictReader(file)][-1]
    return {"accuracy": row.value, "n": row.n, "training_seconds": seconds}


# What is written


def publish(
    options: argparse.Namespace,
    runs: Sequence[Run],
    failed: Sequence[str],
    table: Callable[[Sequence[Run]], str],
    picture: Callable[[Sequence[Run], Path], None],
    markers: tuple[str, str],
    drawn: str = "",
    **more: Any,
) -> int:
    """Numbers, page and picture → exit status: 1 where a job failed. What was there stays where there is nothing to show.

    drawn: the picture's file; called as the page if not given.
    """
    if not runs:
        print("\n".join(["nothing to show:", *failed]))
        return 1
    keep(options.numbers, runs, options.workers, options.flags, **more)
    write_between(options.out, table(runs), *markers)
    place = options.out.with_name(drawn) if drawn else options.out.with_suffix(".svg")
    picture(runs, place)
    print("\n".join([table(runs), *failed, f"wrote {options.out}, {place}, {options.numbers}"]))
    return 1 if failed else 0


def keep(path: Path, runs: Sequence[Run], workers: int, flags: Sequence[str], **more: Any) -> None:
    """Every number of every run, and what they were made with."""
    about = {"machine": platform.machine(), "workers": workers, "threads": 1, "flags": list(flags), "versions": versions(), **more}
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic.write(path, json.dumps({**about, "runs": runs}, indent=1) + "\n")


def write_between(path: Path, text: str, begin: str, end: str) -> None:
    """What stands between the markers becomes `text`; at the end of the file where there are none.

    Raises:
        UserError: one marker without the other, one twice, or the end before the beginning: what is the table's cannot be known.
    """
    old = path.read_text("utf-8") if path.is_file() else ""
    before, found, rest = old.partition(begin)
    after = rest.partition(end)[2] if found else "\n"
    sound = old.count(begin) == old.count(end) == rest.count(end) <= 1
    require(sound, f"{path}: {begin!r} and then {end!r} must both be there once, or neither; nothing was written to it")
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic.write(path, f"{before}{begin}\n\n{text}\n\n{end}{after}")


def between(values: Sequence[float], digits: int, most: float = math.inf, least: float = 0.0) -> str:
    """ "98.1 [96.7, 99.5]": mean and Student's interval, cut at `least` and `most`; of one value the value alone, of none a dash."""
    if not values:
        return "–"
    low, high = interval(values, most, least)
    return f"{mean(values):.{digits}f}" + (f" [{low:.{digits}f}, {high:.{digits}f}]" if len(values) > 1 else "")


def plus_minus(values: Sequence[float], digits: int) -> str:
    """ "3.7 ± 1.4": mean and half of Student's interval; of one value the value alone, of none a dash."""
    if not values:
        return "–"
    low, high = student(values)
    half = f" ± {(high - low) / 2:.{digits}f}" if len(values) > 1 else ""
    return f"{mean(values):.{digits}f}{half}"


def interval(values: Sequence[float], most: float = math.inf, least: float = 0.0) -> tuple[float, float]:
    """Student's, cut where a value cannot be."""
    low, high = student(values)
    return max(low, least), min(high, most)


def seeds_of(runs: Sequence[Run]) -> list[int]:
    """All that there are."""
    return sorted({run["seed"] for run in runs})


def titled(title: str, own: Sequence[Any], seeds: Sequence[int]) -> str:
    """ "DARTS (2 of 3 seeds)" where a run of it is missing."""
    return title + (f" ({len(own)} of {len(seeds)} seeds)" if len(own) < len(seeds) else "")


def rule(columns: int, texts: int = 1) -> str:
    """The line below a table's head: `texts` columns to the left, numbers to the right."""
    return "|" + "---|" * texts + "--:|" * (columns - texts)


def about_seeds(seeds: Sequence[int], shared: str = "") -> str:
    """How to read "98.1 [96.7, 99.5]" and "3.7 ± 1.4"."""
    return (
        f"Mean over {len(seeds)} seed{'s' * (len(seeds) > 1)} ({', '.join(map(str, seeds))}){shared}, ± half of "
        "Student's 95% interval of that mean, or the interval itself: how the mean would vary with other seeds. Three values leave it "
        "wide; three equal ones show no spread, which is no proof that there is none."
    )


def about_images(accuracy: float, n: int) -> str:
    """What other test images would do. accuracy: of a row in the middle."""
    low, high = (100 * bound for bound in wilson(round(accuracy * n), n))
    return (
        f"All networks are tested on the same {n} images; another draw of images would move all rows together: one of "
        f"{100 * accuracy:.1f}% to anywhere from {low:.1f} to {high:.1f}% (Wilson)."
    )


# What is drawn


def save(figure: Any, path: Path) -> None:
    """Equal bytes for an equal figure."""
    import matplotlib as mpl

    path.parent.mkdir(parents=True, exist_ok=True)
    with mpl.rc_context({"svg.hashsalt": "robnas"}):
        figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)


def mean_with_interval(
    axes: Any,
    x: Sequence[float],
    y: Sequence[float],
    name: str,
    colour: Any,
    most: float,
    marker: str = "o",
    face: Any = None,
    least: float = 0.0,
) -> None:
    """A small mark a seed, a large one their mean with its interval, filled with `face`, or with its colour."""
    axes.plot(x, y, marker, color=colour, markersize=3.5, alpha=0.5, markeredgewidth=0)
    middle, (low, high) = mean(y), (interval(y, most, least) if len(y) > 1 else (y[0], y[0]))
    error = [[middle - low], [high - middle]]
    style = {"color": colour, "markerfacecolor": face or colour, "markersize": 7, "capsize": 2, "linewidth": 1}
    axes.errorbar(mean(x), middle, yerr=error, fmt=marker, label=name, **style)


def plain_log_ticks(axes: Any) -> None:
    """A logarithmic abscissa with numbers as people write them."""
    from matplotlib.ticker import NullFormatter, ScalarFormatter

    axes.set(xscale="log")
    low, high = axes.get_xlim()
    ticks = [step * 10.0**power for power in range(-1, 9) for step in (1, 1.5, 2, 3, 5, 7)]
    axes.set_xticks([tick for tick in ticks if low <= tick <= high])
    axes.xaxis.set_major_formatter(ScalarFormatter())
    axes.xaxis.set_minor_formatter(NullFormatter())


def name_means(axes: Any, colours: Mapping[str, Any], titles: Mapping[str, str]) -> None:
    """The name beside each mean, moved up or down until none lies on another. Only after `draw_without_rendering`: it places points."""
    points = {bar.get_label(): bar.lines[0].get_xydata()[0] for bar in axes.containers}
    pixels = {name: axes.transData.transform(point) for name, point in points.items()}
    placed = [(x - 5, x + 5, y) for x, y in pixels.values()]  # left, right, middle: nor on a point
    for name, (x, y) in sorted(pixels.items(), key=lambda item: item[1][1]):
        text = titles.get(name, name)
        end = x + 8 + 7 * len(text)
        for shift in (s for step in range(12) for s in (7 * step, -7 * step)):
            if all(end < a or x + 6 > b or abs(y + shift - middle) >= 13 for a, b, middle in placed):
                break
        placed.append((x + 6, end, y + shift))
        offset = (6, 72 / axes.figure.dpi * shift)
        axes.annotate(text, points[name], offset, textcoords="offset points", fontsize=9, color=colours[name], va="center", weight="bold")
