"""Backdoors on digits: a NAS and a manual model, three attacks, numbers of target neurons, fine-pruning; a page, a picture, all numbers.

    python tools/table_of_backdoors.py [--models darts resnet] [--seeds 0 1 2] [--neurons 1 4 8] [--workers 2]

Every training is a job: whatever ends this command, the same command goes on where it was and does nothing twice. All attacks of a model
and seed are held against one clean training, from which TrojanNN starts and which BadNets and blended triggers repeat from scratch.
"""

from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from typing import Any

import cpu_seconds
import side_by_side
from side_by_side import REPOSITORY, Run, about_images, about_seeds, between, common, rule
from table_of_models import KINDS, TITLES

from robnas.errors import require
from robnas.models.build import describe
from robnas.results import Rows
from robnas.study import Outcome, Pool

NEURONS = 2
"""Of TrojanNN with all seeds (Table 6)."""
EPOCHS_OF_PRUNING = 10
ASR, CAD = 0.9, 0.05
"""What is expected of BadNets and TrojanNN: at least, and below."""
PRUNINGS = {"fine_pruning": ("fine-pruned", 0.3), "fine_tuning": ("fine-tuned alone", 0.0)}
"""A defence → in words, share of the pooled features that is cut out."""
COLOURS = {"nas": "#c2410c", "manual": "#2563eb"}
BEGIN, END = "<!-- table of backdoors: written by tools/table_of_backdoors.py -->", "<!-- end of the table of backdoors -->"


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status: 1 where a job failed."""
    out, kept = REPOSITORY / "docs" / "backdoors.md", REPOSITORY / "benchmarks" / "results" / "backdoors-digits.json"
    parser = side_by_side.arguments(__doc__.splitlines()[0], out, kept)
    parser.add_argument("--models", nargs="+", default=["darts", "resnet"], metavar="NAME", help="published cells and model plug-ins")
    parser.add_argument("--neurons", type=int, nargs="*", default=[1, 4, 8], help="further numbers of target neurons, for the first seed")
    options = parser.parse_args(argv)
    side_by_side.check_seeds(options.seeds)
    for name in options.models:
        describe(name)
    for n in options.neurons:
        require(n >= 1, f"--neurons: {n} is not at least 1")
    runs, failed = measure(cases(options.models, options.seeds, options.neurons), options.workers, options.runs, options.flags)
    return side_by_side.publish(options, runs, failed, table, picture, (BEGIN, END))


# What is run


def attacks(neurons: Sequence[int]) -> list[tuple[str, int]]:
    """Attack and number of target neurons; 0 where there are none."""
    return [("badnets", 0), ("blended", 0), *(("trojannn", n) for n in sorted({NEURONS, *neurons}))]


def cases(models: Sequence[str], seeds: Sequence[int], neurons: Sequence[int]) -> list[Run]:
    """All of the first seed first."""
    return [
        {"model": model, "seed": seed, "attack": attack, "neurons": n, "defence": ""}
        for seed in seeds
        for model in models
        for attack, n in attacks(neurons)
        if seed == seeds[0] or n in (0, NEURONS)
    ]


def measure(asked: Sequence[Run], workers: int, root: Path, flags: Sequence[str] = ()) -> tuple[list[Run], list[str]]:
    """Clean trainings, attacks, and the first TrojanNN of each model defended → what their rows say, a line for each job that failed."""
    honest = list(dict.fromkeys((case["model"], case["seed"]) for case in asked))
    with cpu_seconds.on_path(), Pool(workers, root / ".pool", runner=cpu_seconds.RUNNER, threads=1) as pool:
        trained = pool.run([clean_command(*one, root, flags) for one in honest])
        there = {one: outcome.folder for one, outcome in zip(honest, trained, strict=True) if outcome.good and outcome.folder}
        asked = [case for case in asked if (case["model"], case["seed"]) in there]
        attacked = pool.run([command(case, there[case["model"], case["seed"]], root, flags) for case in asked])
        found = _good(asked, attacked)
        first = {case["model"]: (case, folder) for case, folder in reversed(found) if case["neurons"] == NEURONS}
        mended = [({**case, "defence": way}, folder) for case, folder in reversed(first.values()) for way in PRUNINGS]
        pruned = pool.run([defence_command(case, folder, root, flags) for case, folder in mended])
    found += _good([case for case, _ in mended], pruned)
    return [{**case, **numbers(folder)} for case, folder in found], side_by_side.failures([*trained, *attacked, *pruned])


def _good(asked: Sequence[Run], outcomes: Sequence[Outcome]) -> list[tuple[Run, Path]]:
    return [(case, outcome.folder) for case, outcome in zip(asked, outcomes, strict=True) if outcome.good and outcome.folder]


def clean_command(model: str, seed: int, root: Path, flags: Sequence[str] = ()) -> list[str]:
    """The recipe of every model."""
    own = [f"--model.network={model}", "--experiment=backdoors-clean"]
    return ["fit", "--config", "classify.yaml", *common(seed, root, flags), *own]


def command(case: Run, clean: Path, root: Path, flags: Sequence[str] = ()) -> list[str]:
    """From scratch, or from the clean model."""
    name = case["attack"]
    if name == "trojannn":
        return [*_from(clean, "trojannn.yaml", case["seed"], root, flags), f"--attacks.trojannn.n_neurons={case['neurons']}"]
    own = [f"--model.network={case['model']}", f"--attacks.{name}.clean={clean}"]
    return ["fit", "--config", f"{name}.yaml", *common(case["seed"], root, flags), *own]


def defence_command(case: Run, trojan: Path, root: Path, flags: Sequence[str] = ()) -> list[str]:
    """From the trojan model."""
    share = PRUNINGS[case["defence"]][1]
    return [*_from(trojan, "fine_pruning.yaml", case["seed"], root, flags), f"--defences.fine_pruning.share={share:g}"]


def _from(run: Path, config: str, seed: int, root: Path, flags: Sequence[str]) -> list[str]:
    own = [f"--init_from={run}", "--scale=tiny", f"--seed_everything={seed}", "--wandb=off", f"--runs={root}"]
    return ["fit", "--config", config, *own, *(f"--{flag.removeprefix('--')}" for flag in flags)]


def numbers(folder: Path) -> Run:
    """Of a run: family, accuracy, ASR, that of the clean model (or before the defence), CAD."""
    rows = {row.metric: row for row in Rows(folder / "results.jsonl").read() if row.access == "training"}
    accuracy = side_by_side.accuracy(folder)
    found: Run = {"family": accuracy.family, "accuracy": accuracy.value, "n": accuracy.n, "n_asr": rows["asr"].n}
    found |= {name: rows[name].value for name in ("asr", "asr_clean_model", "asr_before", "asr_pruned", "cad") if name in rows}
    found |= {name: rows[name].value for name in ("activation_clean", "activation_drawn", "activation") if name in rows}
    return found | {"cpu_seconds": cpu_seconds.read(folder)}


# What is shown


def table(runs: Sequence[Run]) -> str:
    """Markdown: a line a model, attack, number of neurons, and defence."""
    seeds = side_by_side.seeds_of(runs)
    lines = ["| model | attack | ASR, % | ASR of the clean model, % | CAD, points | accuracy, % |", rule(6, texts=2)]
    for key in order(runs):
        own = [run for run in runs if _key(run) == key and not run["defence"]]
        cells = [side_by_side.titled(TITLES.get(key[0], key[0]), own, seeds), title(*key[1:])]
        cells += [between([100 * run[name] for run in own], 1, most=100) for name in ("asr", "asr_clean_model")]
        cells += [between([100 * run["cad"] for run in own], 1, most=100, least=-100)]
        lines.append(f"| {' | '.join([*cells, between([100 * run['accuracy'] for run in own], 1, most=100)])} |")
    attacked = [run for run in runs if not run["defence"]]
    text = (
        f"{about_seeds(seeds)} ASR: stamped test images of other classes than the target that are answered with it, of "
        f"{attacked[0]['n_asr']}; CAD: accuracy of the clean training of the same seed less that of this one. {expected(attacked)} "
        f"{about_images(mean(run['accuracy'] for run in attacked), attacked[0]['n'])}"
    )
    return "\n".join([*lines, "", text, "", *_defended([run for run in runs if run["defence"]])])


def _defended(runs: Sequence[Run]) -> list[str]:
    if not runs:
        return []
    lines = [f"TrojanNN with {NEURONS} neurons, one seed, {EPOCHS_OF_PRUNING} epochs of training on clean data:", ""]
    lines += ["| model | defence | ASR before, % | pruned, not yet tuned, % | ASR after, % | accuracy lost, points |", rule(6, texts=2)]
    for run in runs:
        cells = [TITLES.get(run["model"], run["model"]), PRUNINGS[run["defence"]][0]]
        cells += [f"{100 * run[name]:.1f}" for name in ("asr_before", "asr_pruned", "asr", "cad")]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def expected(runs: Sequence[Run]) -> str:
    """In how many trainings an attack comes up to what is expected of it."""
    said = []
    for name in ("badnets", "trojannn"):
        own = [run for run in runs if run["attack"] == name]
        met = sum(run["asr"] >= ASR and run["cad"] < CAD for run in own)
        said.append(f"{title(name, 0)} in {met} of {len(own)}")
    return f"ASR of {100 * ASR:g}% or more with CAD below {100 * CAD:g} points: {', '.join(said)} trainings."


def title(attack: str, neurons: int) -> str:
    """In words."""
    name = {"badnets": "BadNets", "blended": "blended", "trojannn": "TrojanNN"}[attack]
    return f"{name}, {neurons} neuron{'s' * (neurons > 1)}" if neurons else name


def _key(run: Run) -> tuple[str, str, int]:
    return run["model"], run["attack"], run["neurons"]


def order(runs: Sequence[Run]) -> list[tuple[str, str, int]]:
    """Models as they were asked for, then attacks."""
    models, lines = list(dict.fromkeys(run["model"] for run in runs)), {_key(run) for run in runs}
    return sorted(lines, key=lambda line: (models.index(line[0]), line[1:]))


def picture(runs: Sequence[Run], path: Path) -> None:
    """ASR and CAD side by side, a column an attack, a colour a model; hollow: the clean model with the same trigger."""
    from matplotlib.figure import Figure

    runs = [run for run in runs if not run["defence"]]
    models, ways = list(dict.fromkeys(run["model"] for run in runs)), sorted({_key(run)[1:] for run in runs})
    figure = Figure(figsize=(10.4, 4.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    for k, model in enumerate(models):
        for place, way in enumerate(ways):
            own = [run for run in runs if _key(run) == (model, *way)]
            x = [place + 0.24 * (k - (len(models) - 1) / 2)] * len(own)
            if own:
                _draw(left, right, x, own, TITLES.get(model, model) if place == 0 else "")
    for axes, name in ((left, "ASR, %"), (right, "CAD, points")):
        axes.set_xticks(range(len(ways)), [title(*way).replace(", ", "\n") for way in ways], fontsize=8)
        axes.set_title(name, fontsize=10, loc="left")
        axes.grid(axis="y", color="#e4e4e4")
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    left.axhline(100 * ASR, color="#9ca3af", linewidth=0.8, linestyle="--")
    right.axhline(100 * CAD, color="#9ca3af", linewidth=0.8, linestyle="--")
    left.set(ylim=(-3, 103))
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower left", frameon=False, fontsize=8, ncols=4)
    side_by_side.save(figure, path)


def _draw(left: Any, right: Any, x: list[float], own: Sequence[Run], name: str) -> None:
    colour, marker = COLOURS.get(own[0]["family"], "#6b7280"), KINDS[own[0]["family"]][2]
    clean = f"{name}: clean model, same trigger" if name else ""
    side_by_side.mean_with_interval(
        left, x, [100 * r["asr_clean_model"] for r in own], clean, colour, most=100, marker=marker, face="white"
    )
    side_by_side.mean_with_interval(left, x, [100 * run["asr"] for run in own], name, colour, most=100, marker=marker)
    drops = [100 * run["cad"] for run in own]
    side_by_side.mean_with_interval(right, x, drops, name, colour, most=100, least=-100, marker=marker)


if __name__ == "__main__":
    raise SystemExit(side_by_side.ended(main))
