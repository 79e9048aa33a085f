"""What adversarial training is worth on digits: a NAS and a manual model, by each method, from several seeds, all attacked alike.

    python tools/table_of_robustness.py [--seeds 0 1 2] [--models darts resnet] [--methods plain pgd …] [--workers 2]

Every training and every attack is a job: whatever ends this command, the same command goes on where it was and does nothing twice.
Writes the table into --out between two markers, a picture, and every number of every run into --numbers.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cpu_seconds
import side_by_side
from side_by_side import REPOSITORY, Run, about_images, about_seeds, between, common, plus_minus, rule
from table_of_models import KINDS, TITLES

from robnas.attacks.pgd import PGD
from robnas.errors import unknown
from robnas.models.build import describe
from robnas.results import Row, Rows
from robnas.study import Pool

METHODS = {
    "plain": "classify.yaml",
    "pgd": "adversarial.yaml",
    "trades": "adversarial/trades.yaml",
    "free": "adversarial/free.yaml",
    "fast": "adversarial/fast.yaml",
}
"""How a model is trained → the config that does it."""
ATTACK = {"goal": "untargeted", "eps": "8/255", "step_size": "2/255", "steps": "20", "n_restarts": "5"}
"""PGD, the same for all: what robust accuracy is measured with."""
NAMES = {"plain": "plain", "pgd": "PGD", "trades": "TRADES", "free": "free", "fast": "fast"}
BEGIN, END = "<!-- table of robustness: written by tools/table_of_robustness.py -->", "<!-- end of the table of robustness -->"


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status: 1 where a job failed."""
    out, kept = REPOSITORY / "docs" / "models.md", REPOSITORY / "benchmarks" / "results" / "robustness-digits.json"
    parser = side_by_side.arguments(__doc__.splitlines()[0], out, kept)
    parser.add_argument("--models", nargs="+", default=["darts", "resnet"], metavar="NAME", help="published cells and model plug-ins")
    parser.add_argument("--methods", nargs="+", default=list(METHODS), metavar="NAME", help="of training")
    options = parser.parse_args(argv)
    side_by_side.check_seeds(options.seeds)
    for name in options.models:
        describe(name)
    for name in options.methods:
        if name not in METHODS:
            raise unknown("method", name, METHODS)
    runs, failed = measure(options.models, options.methods, options.seeds, options.workers, options.runs, options.flags)
    return side_by_side.publish(options, runs, failed, table, picture, (BEGIN, END), "robustness.svg", attack=ATTACK)


# What is run


def measure(
    models: Sequence[str], methods: Sequence[str], seeds: Sequence[int], workers: int, root: Path, flags: Sequence[str] = ()
) -> tuple[list[Run], list[str]]:
    """Trainings, then attacks, each in its run folder below `root` → what their rows say, and a line for each job that failed."""
    asked = [(model, method, seed) for seed in seeds for model in models for method in methods]
    with cpu_seconds.on_path(), Pool(workers, root / ".pool", runner=cpu_seconds.RUNNER, threads=1) as pool:
        trained = pool.run([training_command(*one, root, flags) for one in asked])
        there = {one: outcome.folder for one, outcome in zip(asked, trained, strict=True) if outcome.good and outcome.folder}
        attacked = pool.run([attack_command(folder) for folder in there.values()])
    runs = [
        {"model": model, "method": method, "seed": seed, **numbers(folder)}
        for ((model, method, seed), folder), outcome in zip(there.items(), attacked, strict=True)
        if outcome.good
    ]
    place = {(model, method): i for i, (model, method) in enumerate((a, b) for a in models for b in methods)}
    return sorted(runs, key=lambda run: place[run["model"], run["method"]]), side_by_side.failures([*trained, *attacked])


def training_command(model: str, method: str, seed: int, root: Path, flags: Sequence[str] = ()) -> list[str]:
    """A method is a config; all else is the same."""
    return ["fit", "--config", METHODS[method], *common(seed, root, flags), f"--model.network={model}"]


def attack_command(folder: Path) -> list[str]:
    """The one attack of the table, and no other."""
    return ["attack", str(folder), "--wandb=off", "--attacks.pgd=pgd", *(f"--attacks.pgd.{name}={value}" for name, value in ATTACK.items())]


def numbers(folder: Path) -> Run:
    """family, accuracy, n and seconds of a training; robust_accuracy, its n, attack_seconds and queries of the attack on it."""
    *_, robust = (row for row in Rows(folder / "results.jsonl").read() if ours(row))  # one written before PGD had its last options, too
    attack = {"robust_accuracy": robust.value, "robust_n": robust.n, "attack_seconds": robust.seconds, "queries": robust.queries}
    return {"family": robust.family, **side_by_side.training(folder), "cpu_seconds": cpu_seconds.read(folder), **attack}


def ours(row: Row) -> bool:
    """Whether it is robust accuracy under this table's attack, on the whole test set: others may have been run on the same model.

    Every argument of PGD counts, `inputs` of a part of the test set too; one that a row does not name had what is now the default.
    """
    own = PGD(goal="untargeted", eps=8 / 255, step_size=2 / 255, steps=20, n_restarts=5).arguments()
    return row.metric == "robust_accuracy" and row.plugin == "pgd" and row.norm == "linf" and {**own, **row.params} == own


# What is shown


def table(runs: Sequence[Run]) -> str:
    """Markdown: a line a model and method."""
    seeds = side_by_side.seeds_of(runs)
    timed = all(run.get("cpu_seconds") is not None for run in runs)
    key = "cpu_seconds" if timed else "training_seconds"
    head = ["model", "training", "clean accuracy, %", "robust accuracy, %", "robust: points above plain", f"{'CPU ' if timed else ''}s"]
    lines = [f"| {' | '.join(head)} |", rule(6, texts=2)]
    for model, method in order(runs):
        own = [run for run in runs if (run["model"], run["method"]) == (model, method)]
        cells = [TITLES.get(model, model), side_by_side.titled(NAMES[method], own, seeds)]
        cells += [between([100 * run[name] for run in own], 1, most=100) for name in ("accuracy", "robust_accuracy")]
        gain = "–" if method == "plain" else between(above_plain(runs, model, method), 1, most=100, least=-100)
        lines.append(f"| {' | '.join([*cells, gain, plus_minus([run[key] for run in own], 0)])} |")
    text = (
        f"{about_seeds(seeds)} Robust: right on every image that PGD tried (untargeted, ε = 8/255, 20 steps of 2/255, 5 restarts), of all "
        f"test images; points above plain: from seed to seed, against plain training from the same seed. "
        f"{about_images(0.5, runs[0]['robust_n'])} {'Processor seconds' if timed else 'Wall clock'} of the whole training"
        f"{', test included' if timed else ''}, on one thread."
    )
    return "\n".join([*lines, "", text])


def above_plain(runs: Sequence[Run], model: str, method: str) -> list[float]:
    """Robust accuracy less that of plain training from the same seed, in points; nothing where there is none."""
    robust = {(run["method"], run["seed"]): 100 * run["robust_accuracy"] for run in runs if run["model"] == model}
    return [value - robust["plain", seed] for (name, seed), value in robust.items() if name == method and ("plain", seed) in robust]


def order(runs: Sequence[Run]) -> list[tuple[str, str]]:
    """Models as they were asked for, methods as in `METHODS`."""
    models = list(dict.fromkeys(run["model"] for run in runs))
    return [(model, method) for model in models for method in METHODS if any((r["model"], r["method"]) == (model, method) for r in runs)]


def picture(runs: Sequence[Run], path: Path) -> None:
    """Robust against clean accuracy, a point a model and method with its intervals."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10.5, 4.8), layout="constrained")
    models = list(dict.fromkeys(run["model"] for run in runs))
    panels = figure.subplots(1, len(models), sharey=True, squeeze=False)[0]
    for axes, model in zip(panels, models, strict=True):
        _draw(axes, [run for run in runs if run["model"] == model], model)
    panels[0].set(ylabel="accuracy, %")
    side_by_side.save(figure, path)


def _draw(axes: Any, runs: Sequence[Run], model: str) -> None:
    """Clean accuracy open, robust accuracy filled, a place a method."""
    methods, colour = [method for _, method in order(runs)], KINDS[runs[0]["family"]][1]
    for place, method in enumerate(methods):
        own = [run for run in runs if run["method"] == method]
        for key, shift, face in (("accuracy", -0.12, "white"), ("robust_accuracy", 0.12, colour)):
            values = [100 * run[key] for run in own]
            side_by_side.mean_with_interval(axes, [place + shift] * len(values), values, f"{method} {key}", colour, most=100, face=face)
    axes.set(xticks=range(len(methods)), xticklabels=[NAMES[method] for method in methods], ylim=(-2, 102), xlim=(-0.5, len(methods) - 0.5))
    axes.set_title(f"{TITLES.get(model, model)}: ○ clean, ● robust under PGD", fontsize=10, loc="left")
    axes.grid(axis="y", color="#e4e4e4")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


if __name__ == "__main__":
    raise SystemExit(side_by_side.ended(main))
