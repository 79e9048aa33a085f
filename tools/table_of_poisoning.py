"""What label flips cost on digits: a NAS and a manual model, with and without augmentation, and what a filter by loss gives back.

    python tools/table_of_poisoning.py [--seeds 0 1 2] [--models darts resnet] [--rates 0.1 0.2 0.4] [--trainings augmented plain]

Every training is a job, and so is the clean one that all rates of a model and seed are held against (rate 0): whatever ends this
command, the same command goes on where it was and does nothing twice. Writes the table into --out between two markers, a picture beside
it, and every number of every run into --numbers.
"""

import csv
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from statistics import mean
from typing import Any

import cpu_seconds
import side_by_side
from side_by_side import REPOSITORY, Run, about_images, about_seeds, between, common, rule
from table_of_models import KINDS, TITLES

from robnas.errors import require, unknown
from robnas.models.build import describe
from robnas.results import Rows
from robnas.study import Pool

TRAININGS = {
    "augmented": ("augmented", []),
    "frozen": ("augmented, poison frozen", ["--attacks.label_flip.freeze=true"]),
    "plain": ("not augmented", ["--data.augment=false"]),
}
"""How images are shown to the training → in words, and flags. "frozen" is what the authors' code does."""
SHARES = ("cad", "accuracy_flipped_given", "accuracy_flipped_true", "accuracy_clean")
CURVES = ("loss_flipped", "loss_clean")
FOUND = ("filter_precision", "filter_recall")
COLOURS = {"nas": "#c2410c", "manual": "#2563eb"}
BEGIN, END = "<!-- table of poisoning: written by tools/table_of_poisoning.py -->", "<!-- end of the table of poisoning -->"


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status: 1 where a job failed."""
    out, kept = REPOSITORY / "docs" / "poisoning.md", REPOSITORY / "benchmarks" / "results" / "poisoning-digits.json"
    parser = side_by_side.arguments(__doc__.splitlines()[0], out, kept)
    parser.add_argument("--models", nargs="+", default=["darts", "resnet"], metavar="NAME", help="published cells and model plug-ins")
    parser.add_argument("--rates", type=float, nargs="+", default=[0.1, 0.2, 0.4], help="of flips; the largest is also filtered")
    parser.add_argument("--trainings", nargs="+", default=["augmented", "plain"], metavar="NAME", help=", ".join(TRAININGS))
    options = parser.parse_args(argv)
    side_by_side.check_seeds(options.seeds)
    for option in ("models", "rates", "trainings"):
        side_by_side.check_once(option, getattr(options, option))
    for name in options.models:
        describe(name)
    for name in options.trainings:
        if name not in TRAININGS:
            raise unknown("training", name, TRAININGS)
    for rate in options.rates:
        require(0 < rate <= 1, f"--rates: {rate} is not in (0, 1]; 0 is the clean training, which is always there")
    asked = cases(options.models, options.trainings, options.rates, options.seeds)
    runs, failed = measure(asked, options.workers, options.runs, options.flags)
    return side_by_side.publish(options, runs, failed, table, picture, (BEGIN, END))


# What is run


def cases(models: Sequence[str], trainings: Sequence[str], rates: Sequence[float], seeds: Sequence[int]) -> list[Run]:
    """All of the first seed first; the largest rate with the filter, too."""
    of_rates = [(rate, False) for rate in sorted(rates)] + [(max(rates), True)]
    names = ("model", "training", "rate", "filtered", "seed")
    return [
        dict(zip(names, (model, training, rate, filtered, seed), strict=True))
        for seed in seeds
        for training in trainings
        for model in models
        for rate, filtered in of_rates
    ]


def measure(asked: Sequence[Run], workers: int, root: Path, flags: Sequence[str] = ()) -> tuple[list[Run], list[str]]:
    """Each in its run folder below `root` → what their rows say, and a line for each job that failed."""
    with cpu_seconds.on_path(), Pool(workers, root / ".pool", runner=cpu_seconds.RUNNER, threads=1) as pool:
        trained = pool.run([command(case, root, flags) for case in asked])
    there = [(case, outcome.folder) for case, outcome in zip(asked, trained, strict=True) if outcome.good and outcome.folder]
    return [{**case, **numbers(folder)} for case, folder in there], side_by_side.failures(trained)


def command(case: Run, root: Path, flags: Sequence[str] = ()) -> list[str]:
    """The filter guesses the rate rightly: what it can do at its best."""
    config = "label_flip/filtered.yaml" if case["filtered"] else "label_flip.yaml"
    own = [f"--model.network={case['model']}", f"--attacks.label_flip.rate={case['rate']:g}", *TRAININGS[case["training"]][1]]
    own += [f"--defences.loss_filter.drop={case['rate']:g}"] if case["filtered"] else []
    return ["fit", "--config", config, *common(case["seed"], root, flags), *own]


def numbers(folder: Path) -> Run:
    """Of a run: family, accuracy, that of its clean twin, CAD, the loss of both parts after every epoch, and what the filter found."""
    rows = {row.metric: row for row in Rows(folder / "results.jsonl").read() if row.access == "training" or row.plugin == "accuracy"}
    cad, accuracy = rows["cad"], side_by_side.accuracy(folder)
    found: Run = {"family": accuracy.family, "accuracy": accuracy.value, "n": accuracy.n, "clean_accuracy": accuracy.value + cad.value}
    found |= {name: rows[name].value for name in SHARES}
    found |= {name: rows[name].value for name in FOUND if name in rows}
    return found | curves(folder) | {"cpu_seconds": cpu_seconds.read(folder)}


def curves(folder: Path) -> Run:
    """loss_flipped and loss_clean, a number an epoch."""
    with (folder / "metrics.csv").open(encoding="utf-8", newline="") as file:
        lines = [line for line in csv.DictReader(file) if line.get("poison/loss_flipped")]
    return {name: [round(float(line[f"poison/{name}"]), 4) for line in lines] for name in CURVES}


# What is shown


def table(runs: Sequence[Run]) -> str:
    """Markdown: a line a model, training, rate, and filter."""
    seeds = side_by_side.seeds_of(runs)
    head = [
        "model",
        "training",
        "flipped, %",
        "filter",
        "CAD, points",
        "loss of the flipped",
        "loss of the clean",
        "flipped labels fitted, %",
    ]
    lines = [f"| {' | '.join([*head, 'filter: precision, recall, %'])} |", rule(9, texts=2)]
    for model, training, rate, filtered in order(runs):
        own = [run for run in runs if (run["model"], run["training"], run["rate"], run["filtered"]) == (model, training, rate, filtered)]
        cells = [side_by_side.titled(TITLES.get(model, model), own, seeds), TRAININGS[training][0], f"{100 * rate:g}"]
        cells += ["yes" if filtered else "no", between([100 * run["cad"] for run in own], 1, most=100, least=-100)]
        cells += [f"{mean(run[name][-1] for run in own):.2f}" for name in CURVES]
        cells += [f"{100 * mean(run['accuracy_flipped_given'] for run in own):.0f}"]
        caught = [f"{100 * mean(run[name] for run in own):.0f}" for name in FOUND if all(run.get(name) is not None for run in own)]
        lines.append(f"| {' | '.join([*cells, ', '.join(caught) or '–'])} |")
    text = (
        f"{about_seeds(seeds)} CAD: test accuracy of the same training without flips, from the same seed, less that of this one (Eq. 11). "
        "Losses: cross-entropy with the labels given, of training inputs that are not augmented, after the last epoch; flipped labels "
        "fitted: answered with the wrong label that was given. The filter drops as large a share as was flipped, which a defender would "
        f"have to guess. {grows(runs)} {about_images(mean(run['clean_accuracy'] for run in runs), runs[0]['n'])}"
    )
    return "\n".join([*lines, "", text])


def grows(runs: Sequence[Run]) -> str:
    """In how many seeds CAD rises from each rate to the next, from 0 on."""
    said = []
    for model, training in dict.fromkeys((run["model"], run["training"]) for run in runs):
        own = [run for run in runs if (run["model"], run["training"]) == (model, training) and not run["filtered"]]
        seeds = side_by_side.seeds_of(own)
        ladders = [[0.0, *(run["cad"] for run in sorted(own, key=lambda r: r["rate"]) if run["seed"] == seed)] for seed in seeds]
        up = sum(all(a < b for a, b in pairwise(ladder)) for ladder in ladders)
        said.append(f"{TITLES.get(model, model)}, {TRAININGS[training][0]}, {up} of {len(seeds)}")
    return f"Seeds in which CAD rises from each rate to the next: {'; '.join(said)}."


def order(runs: Sequence[Run]) -> list[tuple[str, str, float, bool]]:
    """Trainings and models as they were asked for, rates upwards."""
    lines = {(run["model"], run["training"], run["rate"], run["filtered"]) for run in runs}
    places = {name: list(dict.fromkeys(run[name] for run in runs)) for name in ("model", "training")}
    return sorted(lines, key=lambda line: (places["training"].index(line[1]), places["model"].index(line[0]), line[3], line[2]))


def picture(runs: Sequence[Run], path: Path) -> None:
    """A column a training: CAD over the rate above, below it the loss of both parts over the epochs at the largest rate."""
    from matplotlib.figure import Figure

    trainings = list(dict.fromkeys(run["training"] for run in runs))
    figure = Figure(figsize=(5.2 * len(trainings), 7.4), layout="constrained")
    panels = figure.subplots(2, len(trainings), sharey="row", squeeze=False)
    for (above, below), training in zip(panels.T, trainings, strict=True):
        own = [run for run in runs if run["training"] == training]
        _draw_drops(above, own)
        _draw_losses(below, [run for run in own if run["rate"] == max(r["rate"] for r in own) and not run["filtered"]])
        above.set_title(f"{TRAININGS[training][0]}: CAD, points", fontsize=10, loc="left")
        below.set_title(f"{TRAININGS[training][0]}: loss at {100 * max(r['rate'] for r in own):g}% flipped", fontsize=10, loc="left")
        for axes in (above, below):
            axes.grid(axis="y", color="#e4e4e4")
            axes.set_axisbelow(True)
            axes.spines[["top", "right"]].set_visible(False)
    panels[0][0].legend(frameon=False, fontsize=8, loc="upper left")
    panels[1][0].legend(frameon=False, fontsize=8, loc="best")
    side_by_side.save(figure, path)


def _draw_drops(axes: Any, runs: Sequence[Run]) -> None:
    models = list(dict.fromkeys(run["model"] for run in runs))
    for i, model in enumerate(models):
        own = [run for run in runs if run["model"] == model]
        colour, marker = COLOURS.get(own[0]["family"], "#6b7280"), KINDS[own[0]["family"]][2]
        shift, middles = 0.8 * (i - (len(models) - 1) / 2), {0.0: 0.0}
        for rate, filtered in sorted({(run["rate"], run["filtered"]) for run in own}):
            cads = [100 * run["cad"] for run in own if (run["rate"], run["filtered"]) == (rate, filtered)]
            name = (
                f"{TITLES.get(model, model)}{', filtered' if filtered else ''}" if filtered or rate == max(r["rate"] for r in own) else ""
            )
            place = [100 * rate + shift + 0.8 * filtered] * len(cads)
            style = {"most": 100, "least": -100, "marker": marker, "face": "white" if filtered else None}
            side_by_side.mean_with_interval(axes, place, cads, name, colour, **style)
            if not filtered:
                middles[rate] = mean(cads)
        axes.plot(
            [100 * rate + shift * (rate > 0) for rate in sorted(middles)], [middles[r] for r in sorted(middles)], color=colour, linewidth=1
        )
    axes.set(xlabel="training labels flipped, %")


def _draw_losses(axes: Any, runs: Sequence[Run]) -> None:
    from matplotlib.ticker import MaxNLocator

    for model in dict.fromkeys(run["model"] for run in runs):
        own = [run for run in runs if run["model"] == model]
        for name, line in (("loss_flipped", "-"), ("loss_clean", "--")):
            middle = [mean(values) for values in zip(*(run[name] for run in own), strict=True)]
            part = name.removeprefix("loss_")
            colour = COLOURS.get(own[0]["family"], "#6b7280")
            axes.plot(range(1, len(middle) + 1), middle, line, color=colour, label=f"{TITLES.get(model, model)}, {part} labels")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set(xlabel="epochs", ylim=(0, None))


if __name__ == "__main__":
    raise SystemExit(side_by_side.ended(main))
