"""The searchers side by side on digits: each searches from several seeds, each cell is trained, one table says what came of it.

    python tools/table_of_searchers.py [--seeds 0 1 2] [--searchers darts snas …] [--workers 2]

Every search and every training is a job: whatever ends this command, the same command goes on where it was and does nothing twice. A
searcher all of whose jobs failed is left out, one that lacks some is named. Writes the table into --out between two markers, a picture
beside it, and every number of every run into --numbers.
"""

import argparse
import csv
import json
import math
import os
import platform
from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from typing import Any

from robnas import atomic
from robnas.configuration import files
from robnas.configuration.reading import read_file
from robnas.errors import require, unknown
from robnas.results import Rows, versions
from robnas.statistics import student, wilson
from robnas.study import Pool

TITLES = {
    "darts": "DARTS",
    "pc_darts": "PC-DARTS",
    "pdarts": "P-DARTS",
    "drnas": "DrNAS",
    "sgas": "SGAS",
    "snas": "SNAS",
    "enas": "ENAS",
    "nasnet": "NASNet",
    "amoebanet": "AmoebaNet",
    "random": "Random",
}
BEGIN, END = "<!-- table of searchers: written by tools/table_of_searchers.py -->", "<!-- end of the table -->"
REPOSITORY = Path(__file__).resolve().parents[1]
Run = dict[str, Any]
"""searcher, seed, and by name every number of the search's rows; accuracy, n and training_seconds of the training."""


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status: 1 where a job failed."""
    there = [name for name in TITLES if f"{name}.yaml" in files.shipped()]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--searchers", nargs="+", default=there, metavar="NAME", help="configs, without .yaml")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="jobs at a time, one thread each")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="folder of all run folders")
    parser.add_argument("--out", type=Path, default=REPOSITORY / "docs" / "searchers.md", help="the table's place; the picture's, as .svg")
    parser.add_argument("--numbers", type=Path, default=REPOSITORY / "benchmarks" / "results" / "searchers-digits.json")
    parser.add_argument("--flags", nargs="*", default=[], help="further flags of every search and training, such as trainer.max_epochs=1")
    options = parser.parse_args(argv)
    for name in options.searchers:
        if f"{name}.yaml" not in files.shipped():
            raise unknown("searcher", name, there)
    require(len(set(options.seeds)) == len(options.seeds), f"--seeds: {options.seeds} names a seed twice")
    runs, failed = measure(options.searchers, options.seeds, options.workers, options.runs, options.flags)
    if not runs:
        print("\n".join(["nothing to show:", *failed]))
        return 1
    about = {"machine": platform.machine(), "workers": options.workers, "threads": 1, "flags": options.flags, "versions": versions()}
    options.numbers.parent.mkdir(parents=True, exist_ok=True)
    atomic.write(options.numbers, json.dumps({**about, "runs": runs}, indent=1) + "\n")
    write_between(options.out, table(runs))
    picture(runs, options.out.with_suffix(".svg"))
    print("\n".join([table(runs), *failed, f"wrote {options.out}, {options.out.with_suffix('.svg')}, {options.numbers}"]))
    return 1 if failed else 0


# What is run


def measure(searchers: Sequence[str], seeds: Sequence[int], workers: int, root: Path, flags: Sequence[str]) -> tuple[list[Run], list[str]]:
    """Searches, then trainings, each in its run folder below `root` → what their rows say, and a line for each job that failed."""
    pairs = [(name, seed) for name in searchers for seed in seeds]
    with Pool(workers, root / ".pool", threads=1) as pool:
        searched = pool.run([search_command(name, seed, root, flags) for name, seed in pairs])
        cells = {pair: outcome.folder for pair, outcome in zip(pairs, searched, strict=True) if outcome.good and outcome.folder}
        trained = pool.run([training_command(folder, seed, root, flags) for (_, seed), folder in cells.items()])
    runs = [
        {"searcher": name, "seed": seed, **numbers(folder, outcome.folder)}
        for ((name, seed), folder), outcome in zip(cells.items(), trained, strict=True)
        if outcome.good and outcome.folder
    ]
    return runs, [f"failed: {outcome}" for outcome in [*searched, *trained] if not outcome.good]


def search_command(name: str, seed: int, root: Path, flags: Sequence[str] = ()) -> list[str]:
    """Children are trained one at a time, so that every search has one core and their times compare."""
    arguments = read_file(files.find(name)).get("model", {}).get("init_args", {})
    children = "trained_child" in json.dumps(arguments.get("evaluator", ""))
    return ["fit", "--config", f"{name}.yaml", *_common(seed, root, flags), *(["--model.evaluator.workers=1"] if children else [])]


def training_command(folder: Path, seed: int, root: Path, flags: Sequence[str] = ()) -> list[str]:
    """The recipe of every final training, on the cell of a search."""
    return ["fit", "--config", "classify.yaml", *_common(seed, root, flags), f"--model.network={folder}"]


def _common(seed: int, root: Path, flags: Sequence[str]) -> list[str]:
    own = [f"--{flag.removeprefix('--')}" for flag in flags]
    return ["--config", "digits.yaml", f"--seed_everything={seed}", "--wandb=off", f"--runs={root}", *own]


def numbers(search: Path, training: Path) -> Run:
    """What the two run folders say."""
    found: Run = {row.metric: row.value for row in Rows(search / "results.jsonl").read() if row.kind == "search"}
    (row,) = [row for row in Rows(training / "results.jsonl").read() if row.kind == "train" and row.plugin == "accuracy"]
    with (training / "metrics.csv").open(encoding="utf-8", newline="") as file:
        seconds = [float(line["seconds"]) for line in csv.DictReader(file)][-1]
    return found | {"accuracy": row.value, "n": row.n, "training_seconds": seconds}


# What is shown


def table(runs: Sequence[Run]) -> str:
    """Markdown: what a search costs and what its cell is worth, and what the cells look like."""
    seeds, n = sorted({run["seed"] for run in runs}), runs[0]["n"]
    relative = times_darts(runs)
    first = ["| searcher | search time, DARTS = 1 | search, s | architectures scored | parameters, M | test accuracy, % |", _rule(6)]
    kinds = [f"{kind} {name}" for name in ("depth", "width", "skips") for kind in ("normal", "reduction")]
    second = [f"| searcher | {' | '.join(kinds)} |", _rule(7)]
    for name in _order(runs):
        own = [run for run in runs if run["searcher"] == name]
        title = TITLES.get(name, name) + (f" ({len(own)} of {len(seeds)} seeds)" if len(own) < len(seeds) else "")

        def shown(key: str, digits: int, scale: float = 1.0, own: list[Run] = own) -> str:
            return plus_minus([scale * run[key] for run in own if run.get(key) is not None], digits)

        cost = ["1" if name == "darts" else plus_minus(relative[name], 2), shown("seconds", 0), shown("evaluations", 0)]
        accuracy = between([100 * run["accuracy"] for run in own], 1, most=100)
        first.append(f"| {' | '.join([title, *cost, shown('parameters/paper', 2, 1e-6), accuracy])} |")
        shapes = [shown(f"{kind}/{measure}", 1) for measure in ("depth", "width", "skips") for kind in ("normal", "reduce")]
        second.append(f"| {' | '.join([title, *shapes])} |")
    middle = mean(run["accuracy"] for run in runs)
    low, high = (100 * bound for bound in wilson(round(middle * n), n))
    text = (
        f"Mean over {len(seeds)} seed{'s' * (len(seeds) > 1)} ({', '.join(map(str, seeds))}), which search and training share, ± half of "
        "Student's 95% interval of that mean, or the interval itself: how the mean would vary with other seeds. Three values leave it "
        "wide; three equal ones show no spread, which is no proof that there is none. All networks are tested on the same "
        f"{n} images; another draw of images would move all rows together: one of {100 * middle:.1f}% to anywhere from {low:.1f} to "
        f"{high:.1f}% (Wilson). Searches ran one to a core; times are wall clock, relative to DARTS's search from the same seed. "
        "Parameters are those of the network of the paper's size (20 cells, 36 channels, 10 classes); the accuracy is of the overlay's "
        "(5 cells, 10 channels)."
    )
    return "\n".join([*first, "", *second, "", text])


def times_darts(runs: Sequence[Run]) -> dict[str, list[float]]:
    """Searcher → for each seed, its seconds over DARTS's; nothing where DARTS did not search from that seed."""
    darts = {run["seed"]: run["seconds"] for run in runs if run["searcher"] == "darts"}
    return {
        name: [run["seconds"] / darts[run["seed"]] for run in runs if run["searcher"] == name and run["seed"] in darts]
        for name in _order(runs)
    }


def between(values: Sequence[float], digits: int, most: float) -> str:
    """ "98.1 [96.7, 99.5]": mean and Student's interval, cut at `most`; of one value the value alone."""
    low, high = interval(values, most)
    return f"{mean(values):.{digits}f}" + (f" [{low:.{digits}f}, {high:.{digits}f}]" if len(values) > 1 else "")


def plus_minus(values: Sequence[float], digits: int) -> str:
    """ "3.7 ± 1.4": mean and half of Student's interval; of one value the value alone, of none a dash."""
    if not values:
        return "–"
    low, high = student(values)
    half = f" ± {(high - low) / 2:.{digits}f}" if len(values) > 1 else ""
    return f"{mean(values):.{digits}f}{half}"


def write_between(path: Path, text: str) -> None:
    """What stands between the markers becomes `text`; at the end of the file where there are none."""
    old = path.read_text("utf-8") if path.is_file() else ""
    before, _, rest = old.partition(BEGIN)
    after = rest.partition(END)[2] if END in rest else "\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic.write(path, f"{before}{BEGIN}\n\n{text}\n\n{END}{after}")


def picture(runs: Sequence[Run], path: Path) -> None:
    """Accuracy against search time, a point a searcher with its intervals; and the depth of every cell found."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    names = _order(runs)
    colours = {name: mpl.colormaps["tab10"](i % 10) for i, name in enumerate(names)}
    figure = Figure(figsize=(10.5, 4.8), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1.35, 1))
    _draw_worth(left, runs, names, colours)
    _draw_depths(right, runs, names, colours)
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    figure.draw_without_rendering()  # only now is it known where points lie
    _name(left, colours)
    path.parent.mkdir(parents=True, exist_ok=True)
    with mpl.rc_context({"svg.hashsalt": "robnas"}):
        figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)


def _draw_worth(axes: Any, runs: Sequence[Run], names: Sequence[str], colours: dict[str, Any]) -> None:
    from matplotlib.ticker import NullFormatter, ScalarFormatter

    relative = times_darts(runs)
    timed = all(relative[name] for name in names)
    for name in names:
        own, colour = [run for run in runs if run["searcher"] == name], colours[name]
        x, y = relative[name] if timed else [run["seconds"] for run in own], [100 * run["accuracy"] for run in own]
        axes.plot(x, y, "o", color=colour, markersize=3.5, alpha=0.5, markeredgewidth=0)
        middle, (low, high) = mean(y), (interval(y, 100) if len(y) > 1 else (y[0], y[0]))
        error = [[middle - low], [high - middle]]
        axes.errorbar(mean(x), middle, yerr=error, fmt="o", color=colour, markersize=7, capsize=2, linewidth=1, label=name)
    axes.set(xlabel="search time, DARTS = 1" if timed else "search time, seconds", ylabel="test accuracy, %", xscale="log")
    axes.set_title("A small dot a seed, a large one their mean with 95% interval", fontsize=10, loc="left")
    spread = axes.get_xlim()
    ticks = [v for v in (0.1, 0.2, 0.3, 0.5, 0.7, 1, 1.5, 2, 3, 5, 7, 10, 15, 20, 30, 50, 70, 100, 150, 200) if spread[0] <= v <= spread[1]]
    axes.set_xticks(ticks)
    axes.xaxis.set_major_formatter(ScalarFormatter())
    axes.xaxis.set_minor_formatter(NullFormatter())


def _draw_depths(axes: Any, runs: Sequence[Run], names: Sequence[str], colours: dict[str, Any]) -> None:
    for place, name in enumerate(reversed(names)):
        for kind, marker, shift in (("normal", "o", 0.14), ("reduce", "s", -0.14)):
            depths = [run[f"{kind}/depth"] for run in runs if run["searcher"] == name]
            for i, depth in enumerate(depths):
                beside = 0.09 * depths[:i].count(depth)  # equal ones stand side by side
                face = colours[name] if kind == "normal" else "white"
                axes.plot(depth + beside, place + shift, marker, color=colours[name], markerfacecolor=face, markersize=6)
    deepest = int(max(run[f"{kind}/depth"] for run in runs for kind in ("normal", "reduce")))
    axes.set(yticks=range(len(names)), yticklabels=[TITLES.get(n, n) for n in reversed(names)], xlabel="depth of the cell")
    axes.set(xticks=range(2, deepest + 1), xlim=(1.7, deepest + 0.4), ylim=(-0.6, len(names) - 0.4))
    axes.set_title("Every cell found: ● normal, □ reduction", fontsize=10, loc="left")
    axes.grid(axis="x", color="#e4e4e4")
    axes.set_axisbelow(True)


def _name(axes: Any, colours: dict[str, Any]) -> None:
    """The name of each searcher beside its mean, moved up or down until none lies on another."""
    points = {bar.get_label(): bar.lines[0].get_xydata()[0] for bar in axes.containers}
    pixels = {name: axes.transData.transform(point) for name, point in points.items()}
    placed = [(x - 5, x + 5, y) for x, y in pixels.values()]  # left, right, middle: nor on a point
    for name, (x, y) in sorted(pixels.items(), key=lambda item: item[1][1]):
        end = x + 8 + 7 * len(TITLES.get(name, name))
        for shift in (s for step in range(12) for s in (7 * step, -7 * step)):
            if all(end < a or x + 6 > b or abs(y + shift - middle) >= 13 for a, b, middle in placed):
                break
        placed.append((x + 6, end, y + shift))
        offset = (6, 72 / axes.figure.dpi * shift)
        text = TITLES.get(name, name)
        axes.annotate(text, points[name], offset, textcoords="offset points", fontsize=9, color=colours[name], va="center", weight="bold")


def interval(values: Sequence[float], most: float = math.inf) -> tuple[float, float]:
    """Student's, cut where a value cannot be."""
    low, high = student(values)
    return max(low, 0.0), min(high, most)


def _order(runs: Sequence[Run]) -> list[str]:
    there = {run["searcher"] for run in runs}
    return [name for name in TITLES if name in there] + sorted(there - set(TITLES))


def _rule(columns: int) -> str:
    return "|---|" + "--:|" * (columns - 1)


if __name__ == "__main__":
    raise SystemExit(main())
