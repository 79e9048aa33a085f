"""The searchers side by side on digits: each searches from several seeds, each cell is trained, one table says what came of it.

    python tools/table_of_searchers.py [--seeds 0 1 2] [--searchers darts snas …] [--workers 2]

Every search and every training is a job: whatever ends this command, the same command goes on where it was and does nothing twice. A
searcher all of whose jobs failed is left out, one that lacks some is named. Writes the table into --out between two markers, a picture
beside it, and every number of every run into --numbers.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from typing import Any

import side_by_side
from side_by_side import REPOSITORY, Run, about_images, about_seeds, between, common, plus_minus, rule

from robnas.configuration import files
from robnas.configuration.reading import read_file
from robnas.errors import unknown
from robnas.report.names import MODELS
from robnas.results import Rows
from robnas.study import Pool

SEARCHERS = ("darts", "pc_darts", "pdarts", "drnas", "sgas", "snas", "enas", "nasnet", "amoebanet", "random")
TITLES = {name: MODELS[name] for name in SEARCHERS}
BEGIN, END = "<!-- table of searchers: written by tools/table_of_searchers.py -->", "<!-- end of the table -->"


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status: 1 where a job failed."""
    there = [name for name in TITLES if f"{name}.yaml" in files.shipped()]
    out, kept = REPOSITORY / "docs" / "searchers.md", REPOSITORY / "benchmarks" / "results" / "searchers-digits.json"
    parser = side_by_side.arguments(__doc__.splitlines()[0], out, kept)
    parser.add_argument("--searchers", nargs="+", default=there, metavar="NAME", help="configs, without .yaml")
    options = parser.parse_args(argv)
    for name in options.searchers:
        if f"{name}.yaml" not in files.shipped():
            raise unknown("searcher", name, there)
    side_by_side.check_seeds(options.seeds)
    runs, failed = measure(options.searchers, options.seeds, options.workers, options.runs, options.flags)
    return side_by_side.publish(options, runs, failed, table, picture, (BEGIN, END))


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
    return runs, side_by_side.failures([*searched, *trained])


def search_command(name: str, seed: int, root: Path, flags: Sequence[str] = ()) -> list[str]:
    """Children are trained one at a time, so that every search has one core and their times compare."""
    arguments = read_file(files.find(name)).get("model", {}).get("init_args", {})
    children = "trained_child" in json.dumps(arguments.get("evaluator", ""))
    return ["fit", "--config", f"{name}.yaml", *common(seed, root, flags), *(["--model.evaluator.workers=1"] if children else [])]


def training_command(folder: Path, seed: int, root: Path, flags: Sequence[str] = ()) -> list[str]:
    """The recipe of every final training, on the cell of a search."""
    return ["fit", "--config", "classify.yaml", *common(seed, root, flags), f"--model.network={folder}"]


def numbers(search: Path, training: Path) -> Run:
    """What the two run folders say: by name every number of the search's rows; accuracy, n and training_seconds of the training."""
    found: Run = {row.metric: row.value for row in Rows(search / "results.jsonl").read() if row.kind == "search"}
    return found | side_by_side.training(training)


# What is shown


def table(runs: Sequence[Run]) -> str:
    """Markdown: what a search costs and what its cell is worth, and what the cells look like."""
    seeds = side_by_side.seeds_of(runs)
    relative = times_darts(runs)
    first = ["| searcher | search time, DARTS = 1 | search, s | architectures scored | parameters, M | test accuracy, % |", rule(6)]
    kinds = [f"{kind} {name}" for name in ("depth", "width", "skips") for kind in ("normal", "reduction")]
    second = [f"| searcher | {' | '.join(kinds)} |", rule(7)]
    for name in _order(runs):
        own = [run for run in runs if run["searcher"] == name]
        title = side_by_side.titled(TITLES.get(name, name), own, seeds)

        def shown(key: str, digits: int, scale: float = 1.0, own: list[Run] = own) -> str:
            return plus_minus([scale * run[key] for run in own if run.get(key) is not None], digits)

        cost = ["1" if name == "darts" else plus_minus(relative[name], 2), shown("seconds", 0), shown("evaluations", 0)]
        accuracy = between([100 * run["accuracy"] for run in own], 1, most=100)
        first.append(f"| {' | '.join([title, *cost, shown('parameters/paper', 2, 1e-6), accuracy])} |")
        shapes = [shown(f"{kind}/{measure}", 1) for measure in ("depth", "width", "skips") for kind in ("normal", "reduce")]
        second.append(f"| {' | '.join([title, *shapes])} |")
    images = about_images(mean(run["accuracy"] for run in runs), runs[0]["n"])
    text = (
        f"{about_seeds(seeds, ', which search and training share')} {images} Searches ran one to a core; times are wall clock, "
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
    side_by_side.name_means(left, colours, TITLES)
    side_by_side.save(figure, path)


def _draw_worth(axes: Any, runs: Sequence[Run], names: Sequence[str], colours: dict[str, Any]) -> None:
    relative = times_darts(runs)
    timed = all(relative[name] for name in names)
    for name in names:
        own = [run for run in runs if run["searcher"] == name]
        x, y = relative[name] if timed else [run["seconds"] for run in own], [100 * run["accuracy"] for run in own]
        side_by_side.mean_with_interval(axes, x, y, name, colours[name], most=100)
    axes.set(xlabel="search time, DARTS = 1" if timed else "search time, seconds", ylabel="test accuracy, %")
    axes.set_title("A small dot a seed, a large one their mean with 95% interval", fontsize=10, loc="left")
    side_by_side.plain_log_ticks(axes)


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


def _order(runs: Sequence[Run]) -> list[str]:
    there = {run["searcher"] for run in runs}
    return [name for name in TITLES if name in there] + sorted(there - set(TITLES))


if __name__ == "__main__":
    raise SystemExit(side_by_side.ended(main))
