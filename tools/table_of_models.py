"""The pool of all seventeen models on digits: each trained by one recipe from several seeds, one table of what they are worth.

    python tools/table_of_models.py [--seeds 0 1 2] [--models darts resnet …] [--workers 2] [--members 0.5]

Every training is a job: whatever ends this command, the same command goes on where it was and does nothing twice. A model all of whose
jobs failed is left out, one that lacks some is named. Writes the table into --out between two markers, a picture beside it, and every
number of every run into --numbers; a pool of `--members` below 1, whose models see a share of the training set by seed each, goes into
its own files below --runs.
"""

from collections.abc import Sequence
from pathlib import Path
from statistics import mean

import cpu_seconds
import side_by_side
from side_by_side import REPOSITORY, Run, about_images, about_seeds, between, common, plus_minus, rule
from table_of_searchers import TITLES as CELLS

import robnas
from robnas.errors import require
from robnas.models.build import describe
from robnas.models.count import count
from robnas.report.names import MODELS
from robnas.study import Pool

MANUAL = {name: MODELS[name] for name in ("bit", "densenet", "dla", "resnet", "resnext", "vgg", "wide_resnet")}
TITLES = CELLS | MANUAL
"""The models of §3.1: ten published cells, seven manual families."""
KINDS = {"nas": ("NAS", "#c2410c", "o"), "manual": ("manual", "#2563eb", "s"), "custom": ("custom", "#6b7280", "^")}
"""Family of a row → its name, colour and mark."""
BEGIN, END = "<!-- table of models: written by tools/table_of_models.py -->", "<!-- end of the table of models -->"


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status: 1 where a job failed."""
    out, kept = REPOSITORY / "docs" / "models.md", REPOSITORY / "benchmarks" / "results" / "models-digits.json"
    parser = side_by_side.arguments(__doc__.splitlines()[0], out, kept)
    parser.add_argument("--models", nargs="+", default=list(TITLES), metavar="NAME", help="published cells and model plug-ins")
    parser.add_argument("--members", type=float, default=1.0, help="share of the training set that each run trains on, drawn by seed")
    options = parser.parse_args(argv)
    side_by_side.check_seeds(options.seeds)
    for name in options.models:
        describe(name)
    require(0 < options.members <= 1, f"--members: {options.members} is not in (0, 1]")
    if options.members < 1:
        for name, suffix in {"out": "md", "numbers": "json"}.items():
            if getattr(options, name) == parser.get_default(name):
                setattr(options, name, options.runs / f"models-{options.members:g}.{suffix}")
    runs, failed = measure(options.models, options.seeds, options.workers, options.runs, options.flags, options.members)
    return side_by_side.publish(options, runs, failed, table, picture, (BEGIN, END), members=options.members)


# What is run


def measure(
    models: Sequence[str], seeds: Sequence[int], workers: int, root: Path, flags: Sequence[str] = (), members: float = 1.0
) -> tuple[list[Run], list[str]]:
    """Each model from each seed, in its run folder below `root` → what their rows say, and a line for each job that failed."""
    pairs = [(name, seed) for seed in seeds for name in models]  # all models from the first seed first
    with cpu_seconds.on_path(), Pool(workers, root / ".pool", runner=cpu_seconds.RUNNER, threads=1) as pool:
        trained = pool.run([command(name, seed, root, flags, members) for name, seed in pairs])
    there = [(*pair, outcome.folder) for pair, outcome in zip(pairs, trained, strict=True) if outcome.good and outcome.folder]
    runs = [{"model": name, "seed": seed, "members": members, **numbers(folder)} for name, seed, folder in there]
    return sorted(runs, key=lambda run: list(models).index(run["model"])), side_by_side.failures(trained)


def command(name: str, seed: int, root: Path, flags: Sequence[str] = (), members: float = 1.0) -> list[str]:
    """The recipe of every model."""
    share = [f"--data.members={members:g}"] if members < 1 else []
    return ["fit", "--config", "classify.yaml", *common(seed, root, flags), f"--model.network={name}", *share]


def numbers(folder: Path) -> Run:
    """family, parameters, flops (multiply-adds for an image), accuracy, n, training_seconds and cpu_seconds of a run."""
    return {
        "family": side_by_side.accuracy(folder).family,
        **size(folder),
        **side_by_side.training(folder),
        "cpu_seconds": cpu_seconds.read(folder),
    }


def size(folder: Path) -> Run:
    """Of the model as it was trained, for one of its images."""
    model = robnas.load(folder)
    return count(model.to("meta"), tuple(model.architecture["image_shape"]))._asdict()


# What is shown


def table(runs: Sequence[Run]) -> str:
    """Markdown: what a model is, what it costs and what it is worth."""
    seeds, members = side_by_side.seeds_of(runs), runs[0].get("members", 1.0)
    timed = all(run.get("cpu_seconds") is not None for run in runs)
    key = "cpu_seconds" if timed else "training_seconds"
    lines = [
        f"| model | kind | parameters, k | FLOPs, M | training, {'CPU ' if timed else ''}s | test accuracy, % |",
        rule(6, texts=2),
    ]
    for name in order(runs):
        own = [run for run in runs if run["model"] == name]
        one = own[0]
        cells = [side_by_side.titled(TITLES.get(name, name), own, seeds), KINDS[one["family"]][0]]
        cells += [f"{one['parameters'] / 1e3:.0f}", f"{one['flops'] / 1e6:.1f}", plus_minus([run[key] for run in own], 0)]
        lines.append(f"| {' | '.join([*cells, between([100 * run['accuracy'] for run in own], 1, most=100)])} |")
    share = f" Each training saw {100 * members:g}% of the training set, drawn by its seed." if members < 1 else ""
    clock = "processor seconds of the whole job on one thread, test included" if timed else "wall clock, one training to a core"
    text = (
        f"{about_seeds(seeds)}{share} {about_images(mean(run['accuracy'] for run in runs), one['n'])} Sizes are those that were trained, "
        f"the overlay's; FLOPs are multiply-adds for one image. Training: {clock}."
    )
    return "\n".join([*lines, "", text])


def order(runs: Sequence[Run]) -> list[str]:
    """As in `TITLES`, then others."""
    there = {run["model"] for run in runs}
    return [name for name in TITLES if name in there] + sorted(there - set(TITLES))


def picture(runs: Sequence[Run], path: Path) -> None:
    """Accuracy against parameters, a point a model with its intervals, a colour and mark a kind."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10.5, 5.6), layout="constrained")
    axes = figure.subplots()
    colours = {}
    for name in order(runs):
        own = [run for run in runs if run["model"] == name]
        _, colours[name], marker = KINDS[own[0]["family"]]
        x, y = [run["parameters"] / 1e3 for run in own], [100 * run["accuracy"] for run in own]
        side_by_side.mean_with_interval(axes, x, y, name, colours[name], most=100, marker=marker)
    kinds = [KINDS[kind] for kind in KINDS if any(run["family"] == kind for run in runs)]
    sizes = [run["parameters"] / 1e3 for run in runs]
    axes.set_xlim(min(sizes) / 1.2, max(sizes) * 1.5)  # room for names
    side_by_side.plain_log_ticks(axes)
    axes.set(xlabel="parameters, thousands", ylabel="test accuracy, %")
    axes.set_title("A small mark a seed, a large one their mean with 95% interval", fontsize=10, loc="left")
    handles = [axes.plot([], [], marker, color=colour, markersize=7)[0] for _, colour, marker in kinds]
    axes.legend(handles, [title for title, _, _ in kinds], frameon=False, loc="lower right")
    axes.spines[["top", "right"]].set_visible(False)
    figure.draw_without_rendering()  # only now is it known where points lie
    side_by_side.name_means(axes, colours, TITLES)
    side_by_side.save(figure, path)


if __name__ == "__main__":
    raise SystemExit(side_by_side.ended(main))
