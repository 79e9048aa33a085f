"""The searchers side by side on digits: each searches from several seeds, each cell is trained, one table says what came of it.

    python tools/table_of_searchers.py [--seeds 0 1 2] [--searchers darts snas …] [--workers 2]

Every search and every training is a job: whatever ends this command, the same command goes on where it was and does nothing twice. A
searcher all of whose jobs failed is left out, one that lacks some is named. Writes the table into --out between two markers, a picture
beside it, and every number of every run into --numbers.
"""

import argparse
import csv
import json
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

        cost = [plus_minus(relative[name], 2), shown("seconds", 0), shown("evaluations", 0)]
        first.append(f"| {' | '.join([title, *cost, shown('parameters/paper', 2, 1e-6), shown('accuracy', 1, 100)])} |")
        shapes = [shown(f"{kind}/{measure}", 1) for measure in ("depth", "width", "skips") for kind in ("normal", "reduce")]
        second.append(f"| {' | '.join([title, *shapes])} |")
    middle = mean(run["accuracy"] for run in runs)
    low, high = (100 * bound for bound in wilson(round(middle * n), n))
    text = (
        f"Mean over {len(seeds)} seed{'s' * (len(seeds) > 1)} ({', '.join(map(str, seeds))}), which search and training share, ± half of "
        "Student's 95% interval of that mean: how it would vary with other seeds. Three equal values show no spread, which is no proof "
        f"that there is none. All networks are tested on the same {n} images; another draw of images would move all rows, and a row of "
        f"{100 * middle:.1f}% to anywhere from {low:.1f} to {high:.1f}% (Wilson). Searches ran one to a core; times are wall clock, "
        "relative to DARTS's search from the same seed. Parameters are those of the network of the paper's size (20 cells, 36 channels, "
        "10 classes); the accuracy is of the overlay's (5 cells, 10 channels)."
    )
    return "\n".join([*first, "", *second, "", text])


def times_darts(runs: Sequence[Run]) -> dict[str, list[float]]:
    """Searcher → for each seed, its seconds over DARTS's; nothing where DARTS did not search from that seed."""
    darts = {run["seed"]: run["seconds"] for run in runs if run["searcher"] == "darts"}
    return {
        name: [run["seconds"] / darts[run["seed"]] for run in runs if run["searcher"] == name and run["seed"] in darts]
        for name in _order(runs)
    }


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
    colours = dict(zip(names, (mpl.colormaps["tab10"](i % 10) for i in range(len(names))), strict=True))
    figure = Figure(figsize=(10.5, 4.6), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1.25, 1))
    relative = times_darts(runs)
    timed = all(relative[name] for name in names)
    for name in names:
        own = [run for run in runs if run["searcher"] == name]
        x = relative[name] if timed else [run["seconds"] for run in own]
        y = [100 * run["accuracy"] for run in own]
        left.plot(x, y, "o", color=colours[name], markersize=3.5, alpha=0.45, markeredgewidth=0)
        left.errorbar(mean(x), mean(y), yerr=_half(y), xerr=_half(x), fmt="o", color=colours[name], markersize=7, capsize=2, linewidth=1)
        left.annotate(
            TITLES.get(name, name), (mean(x), mean(y)), xytext=(6, 5), textcoords="offset points", fontsize=9, color=colours[name]
        )
        place = len(names) - 1 - names.index(name)
        for kind, marker, shift in (("normal", "o", 0.13), ("reduce", "s", -0.13)):
            depths = sorted(run[f"{kind}/depth"] for run in own)
            for depth in set(depths):
                for i in range(depths.count(depth)):  # equal ones stand side by side
                    face = colours[name] if kind == "normal" else "white"
                    right.plot(depth + 0.11 * i, place + shift, marker, color=colours[name], markerfacecolor=face, markersize=6)
    left.set(xlabel="search time, DARTS = 1" if timed else "search time, seconds", ylabel="test accuracy, %", xscale="log")
    left.set_title("A small dot a seed; means with 95% intervals", fontsize=10, loc="left")
    right.set(yticks=range(len(names)), yticklabels=[TITLES.get(n, n) for n in reversed(names)], xlabel="depth of the cell")
    right.set_title("Each cell found: ● normal, □ reduction", fontsize=10, loc="left")
    right.grid(axis="x", color="#e4e4e4")
    right.set_axisbelow(True)
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    with mpl.rc_context({"svg.hashsalt": "robnas"}):
        figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)


def _half(values: Sequence[float]) -> float:
    low, high = student(values)
    return (high - low) / 2 if len(values) > 1 else 0.0


def _order(runs: Sequence[Run]) -> list[str]:
    there = {run["searcher"] for run in runs}
    return [name for name in TITLES if name in there] + sorted(there - set(TITLES))


def _rule(columns: int) -> str:
    return "|---|" + "--:|" * (columns - 1)


if __name__ == "__main__":
    raise SystemExit(main())
