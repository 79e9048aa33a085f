"""Do n_step = 5 and γ < 1 deepen cells and thin out skips (§5.2, in-NAS)? DARTS on digits over both, from several seeds, beside Random.

    python tools/table_of_mitigations.py [--n-steps 1 5] [--gammas 0.5 0.25] [--equal epochs steps] [--seeds 0 1 2 3 4] [--train]

Every search, training and attack is a job: whatever ends this command, the same command goes on where it was and does nothing twice.
Writes tables into --out between two markers, a picture beside it, and every number of every run into --numbers.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

import cpu_seconds
import side_by_side
import table_of_robustness as robustness
from side_by_side import REPOSITORY, Run, between, common, plus_minus, rule

from robnas.errors import require
from robnas.space.facts import RANDOM_CELLS
from robnas.space.percentile import random_genotypes
from robnas.space.published import read
from robnas.study import Pool
from robnas.tasks.search import Search

READINGS = {"weight": "undamped", "alpha": "damped"}
"""What γ multiplies → the weights that the cell is derived from: configs/darts_ii.yaml, and §5.2 to the letter, darts_ii/paper.yaml."""
EQUAL = ("epochs", "steps")
"""What searches of unlike n_step share: epochs, so that a larger n_step takes fewer architecture steps, or architecture steps, so that it
takes n_step times the epochs."""
EPOCHS = int(Search.scales["tiny"]["trainer"]["max_epochs"])
FACTS = ("depth", "width", "skips", "convolutions")
BEGIN, END = "<!-- tables of mitigations: written by tools/table_of_mitigations.py -->", "<!-- end of the tables of mitigations -->"


class Setting(NamedTuple):
    """A point of the grid. reading: of γ, "" where γ is 1; equal: "" where n_step is 1."""

    n_step: int
    gamma: float
    reading: str = ""
    equal: str = ""

    @property
    def damping(self) -> str:
        """ "½ on weight"."""
        share = {0.5: "½", 0.25: "¼", 0.75: "¾"}.get(self.gamma, f"{self.gamma:g}")
        return f"{share} on {'α' if self.reading == 'alpha' else 'weight'}" if self.reading else "1"

    @property
    def steps(self) -> str:
        """ "5, equal epochs"."""
        return f"{self.n_step}, equal {self.equal}" if self.equal else str(self.n_step)


BASE = Setting(1, 1.0)
"""DARTS."""


def grid(n_steps: Sequence[int], gammas: Sequence[float], equal: Sequence[str], readings: Sequence[str] = tuple(READINGS)) -> list[Setting]:
    """DARTS first; n_step = 1 and γ = 1 whether they are named or not, as all else is compared with them."""
    damped = [(1.0, ""), *((gamma, reading) for reading in readings for gamma in gammas if gamma != 1)]
    stepped = [(1, ""), *((n, how) for n in n_steps if n != 1 for how in equal)]
    return [Setting(n, gamma, reading, how) for n, how in stepped for gamma, reading in damped]


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status: 1 where a job failed."""
    out, kept = REPOSITORY / "docs" / "mitigations.md", REPOSITORY / "benchmarks" / "results" / "mitigations-digits.json"
    parser = side_by_side.arguments(__doc__.splitlines()[0], out, kept)
    parser.set_defaults(seeds=[0, 1, 2, 3, 4])
    parser.add_argument("--n-steps", type=int, nargs="+", default=[1, 5], help="weight steps for each architecture step")
    parser.add_argument("--gammas", type=float, nargs="+", default=[0.5, 0.25], help="coefficients of skip connects, in (0, 1]")
    parser.add_argument("--readings", nargs="+", default=list(READINGS), choices=list(READINGS), help="what γ multiplies")
    parser.add_argument("--equal", nargs="+", default=["epochs"], choices=EQUAL, help="what searches of unlike n_step share")
    parser.add_argument("--train", action="store_true", help="train every cell that was found, and attack it (PGD as table_of_robustness)")
    options = parser.parse_args(argv)
    side_by_side.check_seeds(options.seeds)
    for name in ("n_steps", "gammas", "equal", "readings"):
        side_by_side.check_once(name.replace("_", "-"), getattr(options, name))
    require(all(n >= 1 for n in options.n_steps), f"--n-steps: {options.n_steps} are not all ≥ 1")
    require(all(0 < gamma <= 1 for gamma in options.gammas), f"--gammas: {options.gammas} are not all in (0, 1]")
    settings = grid(options.n_steps, options.gammas, options.equal, options.readings)
    runs, failed = measure(settings, options.seeds, options.workers, options.runs, options.train, options.flags)
    attack = robustness.ATTACK if options.train else None
    return side_by_side.publish(options, runs, failed, tables, picture, (BEGIN, END), attack=attack)


# What is run


def measure(
    settings: Sequence[Setting], seeds: Sequence[int], workers: int, root: Path, train: bool = False, flags: Sequence[str] = ()
) -> tuple[list[Run], list[str]]:
    """Searches, then trainings and attacks, each in its run folder below `root` → what they say, and a line for each job that failed."""
    asked = [(setting, seed) for seed in seeds for setting in [*settings, None]]  # None: Random; all settings from the first seed first
    with cpu_seconds.on_path(), Pool(workers, root / ".pool", runner=cpu_seconds.RUNNER, threads=1) as pool:
        searched = pool.run([search_command(*one, root, flags) for one in asked])
        found = {one: outcome.folder for one, outcome in zip(asked, searched, strict=True) if outcome.good and outcome.folder}
        runs = {one: named(*one) | cells(folder) | {"cpu_seconds": cpu_seconds.read(folder)} for one, folder in found.items()}
        if not train:
            return list(runs.values()), side_by_side.failures(searched)
        trained = pool.run([training_command(folder, seed, root, flags) for (_, seed), folder in found.items()])
        there = {one: outcome.folder for one, outcome in zip(found, trained, strict=True) if outcome.good and outcome.folder}
        attacked = pool.run([robustness.attack_command(folder) for folder in there.values()])
    for (one, folder), outcome in zip(there.items(), attacked, strict=True):
        if outcome.good:
            said = robustness.numbers(folder)
            runs[one] |= {name: said[name] for name in ("accuracy", "n", "robust_accuracy", "robust_n")}
    return list(runs.values()), side_by_side.failures([*searched, *trained, *attacked])


def search_command(setting: Setting | None, seed: int, root: Path, flags: Sequence[str] = ()) -> list[str]:
    """DARTS in all but n_step and γ, so that nothing else differs; without a setting Random as it is shipped."""
    if setting is None:
        return ["fit", "--config", "random.yaml", *common(seed, root, flags)]
    changes = [f"--model.n_step={setting.n_step}"]
    if setting.reading:
        searcher = {"gamma": setting.gamma, "damp": setting.reading, "derive_from": READINGS[setting.reading]}
        changes += [f"--model.searcher.init_args.{name}={value}" for name, value in searcher.items()]
    if setting.equal == "steps":
        changes.append(f"--trainer.max_epochs={EPOCHS * setting.n_step}")
    shared = common(seed, root)
    return ["fit", "--config", "darts.yaml", *shared, *changes, *common(seed, root, flags)[len(shared) :]]


def training_command(folder: Path, seed: int, root: Path, flags: Sequence[str] = ()) -> list[str]:
    """The recipe of every final training, on the cell of a search."""
    return ["fit", "--config", "classify.yaml", *common(seed, root, flags), f"--model.network={folder}"]


def named(setting: Setting | None, seed: int) -> Run:
    """Plain values: "searcher", "seed", and the setting's own."""
    return {"searcher": "darts" if setting else "random", "seed": seed} | (setting._asdict() if setting else {})


def cells(folder: Path) -> Run:
    """Both cells that a search found: {"normal/depth": 3, …}."""
    genotype = read(folder / "genotype.yaml")
    return {f"{kind}/{fact}": getattr(cell, fact) for kind, cell in genotype.cells.items() for fact in FACTS}


# What it says


def setting_of(run: Run) -> Setting | None:
    """None for Random."""
    return Setting(*(run[name] for name in Setting._fields)) if run["searcher"] == "darts" else None


def of(runs: Sequence[Run], setting: Setting | None, key: str) -> dict[int, float]:
    """Seed → value, of the runs that have one."""
    return {run["seed"]: run[key] for run in runs if setting_of(run) == setting and run.get(key) is not None}


def above(runs: Sequence[Run], setting: Setting, key: str, base: Setting = BASE) -> dict[int, float]:
    """Seed → value less that of `base` from the same seed."""
    theirs = of(runs, base, key)
    return {seed: value - theirs[seed] for seed, value in of(runs, setting, key).items() if seed in theirs}


def effect(runs: Sequence[Run], key: str, pairs: Sequence[tuple[Setting, Setting]]) -> list[float]:
    """For each seed that has all of them, the mean over pairs of settings of (value of the first − value of the second)."""
    each = [above(runs, one, key, other) for one, other in pairs]
    return [fmean(found[seed] for found in each) for seed in sorted(set.intersection(*map(set, each)))] if each else []


def effects(runs: Sequence[Run]) -> dict[str, list[tuple[Setting, Setting]]]:
    """The questions of §5.2 → pairs that differ in this one thing alone."""
    there = order(runs)
    questions: dict[str, list[tuple[Setting, Setting]]] = {}
    for s in there:
        if s.n_step != 1:
            questions.setdefault(f"n_step {s.steps}, against 1", []).append((s, Setting(1, s.gamma, s.reading)))
    for s in there:
        if s.reading:
            on = "α" if s.reading == "alpha" else "the weight"
            questions.setdefault(f"γ < 1 on {on}, against 1", []).append((s, Setting(s.n_step, 1.0, "", s.equal)))
    for s in there:
        if s.reading and s.n_step != 1:
            questions.setdefault(f"both ({s.steps}; γ = {s.damping}), against DARTS", []).append((s, BASE))
    return questions


def order(runs: Sequence[Run]) -> list[Setting]:
    """As the grid has them."""
    return list(dict.fromkeys(setting for run in runs if (setting := setting_of(run)) is not None))


def uniform(kind: str, fact: str) -> float:
    """Mean over as many uniform draws from the space, which nobody searched for."""
    return fmean(float(getattr(g.cells[kind], fact)) for g in random_genotypes(4, RANDOM_CELLS))


# What is shown


def tables(runs: Sequence[Run]) -> str:
    """Markdown: what each mitigation changes; every point of the grid; how to read both."""
    seeds, questions = side_by_side.seeds_of(runs), effects(runs)
    head = [f"| normal cell: what changes | {' | '.join(FACTS)} |", rule(1 + len(FACTS))]
    for question, pairs in questions.items():
        found = [effect(runs, f"normal/{fact}", pairs) for fact in FACTS]
        cells = [signed(values) for values in found]
        head.append(f"| {side_by_side.titled(question, found[0], seeds)} | {' | '.join(cells)} |")
    text = (
        f"Mean difference over {len(seeds)} seed{'s' * (len(seeds) > 1)}, each against the same seed, and Student's 95% interval of that "
        "mean; where a line stands for several settings they are averaged within a seed first. The lines are "
        f"{len(questions) * len(FACTS)} intervals: where nothing had an effect, about one in twenty would still leave zero out. Equal "
        "values from all seeds show no spread, which is no proof that there is none."
    )
    return "\n".join([*head, "", *_points(runs, seeds), "", text, "", _how(runs)])


def _points(runs: Sequence[Run], seeds: Sequence[int]) -> list[str]:
    worth = [name for name in ("accuracy", "robust_accuracy") if any(name in run for run in runs)]
    titles = ["n_step", "γ", *FACTS, "depth − Random's", "skips − Random's", "CPU s", *(f"{name.replace('_', ' ')}, %" for name in worth)]
    lines = [f"| {' | '.join(titles)} |", rule(len(titles), texts=2)]
    for setting in [*order(runs), None]:
        own = [run for run in runs if setting_of(run) == setting]
        if not own:
            continue
        first = [side_by_side.titled(setting.steps if setting else "Random", own, seeds), setting.damping if setting else "–"]
        cells = [plus_minus(list(of(runs, setting, f"normal/{fact}").values()), 1) for fact in FACTS]
        cells += [signed([v - uniform("normal", f) for v in of(runs, setting, f"normal/{f}").values()]) for f in ("depth", "skips")]
        cells.append(plus_minus(list(of(runs, setting, "cpu_seconds").values()), 0))
        cells += [between([100 * v for v in of(runs, setting, name).values()], 1, most=100) for name in worth]
        lines.append(f"| {' | '.join([*first, *cells])} |")
    draws = [f"{uniform('normal', fact):.2f}" for fact in FACTS]
    lines.append(f"| {' | '.join([f'{RANDOM_CELLS:,} uniform draws', '–', *draws, '0', '0', '–', *['–'] * len(worth)])} |")
    return lines


def _how(runs: Sequence[Run]) -> str:
    trained = any("robust_accuracy" in run for run in runs)
    text = (
        "± is half of Student's interval. Random's row is `random.yaml`, which picks by shared weights; what is compared with are the "
        f"uniform draws, whose mean is known to a few hundredths. Equal epochs: {EPOCHS} of digits, so that a larger n_step takes fewer "
        f"steps of the architecture; equal steps: n_step × {EPOCHS} epochs. γ on the weight always suppresses; on α, which is §5.2 to the "
        "letter, it raises a negative α. Searches are DARTS's in all else, at the overlay's architecture rate. CPU s: the whole search on "
        "one thread."
    )
    return text + (
        " Robust: right on every image that PGD tried (untargeted, ε = 8/255, 20 steps of 2/255, 5 restarts)." if trained else ""
    )


def signed(values: Sequence[float], digits: int = 1) -> str:
    """ "−0.4 [−1.2, 0.4]"."""
    return between([v if abs(v) > 1e-12 else 0.0 for v in values], digits, least=-math.inf).replace("-0.0", "0.0").replace("-", "−")


def picture(runs: Sequence[Run], path: Path) -> None:
    """A panel a fact of the normal cell, a column a γ, a colour an n_step; grey: where half of all random cells lie, and their mean."""
    from matplotlib.figure import Figure

    keys = [f"normal/{fact}" for fact in ("depth", "width", "skips")]
    titles = ["depth of the normal cell", "width of the normal cell", "skip connects of the normal cell"]
    if any("robust_accuracy" in run for run in runs):
        keys, titles = [*keys, "robust_accuracy"], [*titles, "robust accuracy, %"]
    columns = 2 if len(keys) == 4 else len(keys)
    figure = Figure(figsize=(4.6 * columns, 4.2 * (len(keys) // columns) + 0.3), layout="constrained")
    panels = figure.subplots(len(keys) // columns, columns, squeeze=False).flat
    for axes, key, title in zip(panels, keys, titles, strict=True):
        _panel(axes, runs, key, title)
    named = {label: handle for axes in figure.axes for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)}
    figure.legend(named.values(), named, loc="outside upper left", ncols=3 if columns == 2 else 6, frameon=False, fontsize=9)
    side_by_side.save(figure, path)


def _panel(axes: Any, runs: Sequence[Run], key: str, title: str) -> None:
    import matplotlib as mpl
    import numpy as np

    settings = order(runs)
    columns, stepped = (list(dict.fromkeys(s.damping for s in settings)), list(dict.fromkeys(s.steps for s in settings)))
    scale = 100 if key == "robust_accuracy" else 1
    if "/" in key:
        all_of_them = [getattr(g.normal, key.partition("/")[2]) for g in random_genotypes(4, RANDOM_CELLS)]
        low, high = np.quantile(all_of_them, [0.25, 0.75])
        axes.axhspan(low - 0.04, high + 0.04, color="#e8e8e8", linewidth=0, label="random cells: the middle half")
        axes.axhline(float(np.mean(all_of_them)), color="#909090", linewidth=1, label="their mean")
    elif random := of(runs, None, key):
        axes.axhline(scale * fmean(random.values()), color="#909090", linewidth=1, linestyle="--", label="Random: mean over seeds")
    for i, steps in enumerate(stepped):
        colour, labelled = mpl.colormaps["tab10"](i), False
        for s in (s for s in settings if s.steps == steps):
            place = columns.index(s.damping) + (i - (len(stepped) - 1) / 2) * 0.7 / len(stepped)
            values = [scale * v for v in of(runs, s, key).values()]
            if not values:
                continue
            beside = [place + 0.05 * (values[:j].count(v) - (values.count(v) - 1) / 2) for j, v in enumerate(values)]
            axes.plot(beside, values, "o", color=colour, markersize=3.5, alpha=0.6, markeredgewidth=0)
            low, high = side_by_side.interval(values, most=100.0 if scale == 100 else math.inf) if len(values) > 1 else (values[0],) * 2
            error = [[fmean(values) - low], [high - fmean(values)]]
            style: dict[str, Any] = {"color": colour, "markersize": 8, "capsize": 3, "linewidth": 1.2, "alpha": 0.9}
            axes.errorbar(place, fmean(values), yerr=error, fmt="D", label=None if labelled else f"n_step {steps}", **style)
            labelled = True
    axes.set(xticks=range(len(columns)), xlim=(-0.6, len(columns) - 0.4))
    axes.set_xticklabels([f"γ = {c}".replace(" on ", "\non ") for c in columns], fontsize=9)
    axes.set_title(title, fontsize=10, loc="left")
    axes.spines[["top", "right"]].set_visible(False)


if __name__ == "__main__":
    raise SystemExit(side_by_side.ended(main))
