"""Functionality stealing on digits: victims, replicas, budgets and seeds, with and without a defence; a page, a picture, all numbers.

    python tools/table_of_stealing.py [--victims darts resnet] [--replicas darts resnet] [--budgets 100 300 900] [--seeds 0 1 2]

Every training is a job: whatever ends this command, the same command goes on where it was and does nothing twice, nor asks anything
twice. A victim is trained on 35% of the training set, drawn by its seed, and asked about the rest alone. A replica's seed is never its
victim's: with it, one of the same architecture would begin with the victim's own first weights.
"""

from collections.abc import Sequence
from pathlib import Path
from statistics import mean

import cpu_seconds
import side_by_side
from side_by_side import REPOSITORY, Run, between, common, rule
from table_of_models import KINDS, TITLES

from robnas.errors import require
from robnas.models.build import describe
from robnas.results import Rows
from robnas.study import Pool

MEMBERS, EPOCHS, BATCH, OTHER_SEED = 0.35, 50, 32, 100
WAYS = {
    "random": ("random", ("knockoff.yaml",)),
    "adaptive": ("adaptive", ("knockoff/adaptive.yaml",)),
    "rounded": (
        "random, answers rounded to 1 digit",
        ("knockoff.yaml", "--defences.rounded=rounded_answers", "--defences.rounded.digits=1"),
    ),
    "labels": ("random, labels alone", ("knockoff.yaml", "--defences.rounded=rounded_answers", "--defences.rounded.digits=labels")),
}
"""How a theft goes → in words; config and flags. All but the first at one budget."""
METRICS = ("ace", "divergence", "agreement", "replica_accuracy", "victim_accuracy", "queries")
BEGIN, END = "<!-- table of stealing: written by tools/table_of_stealing.py -->", "<!-- end of the table of stealing -->"


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status: 1 where a job failed."""
    out, kept = REPOSITORY / "docs" / "stealing.md", REPOSITORY / "benchmarks" / "results" / "stealing-digits.json"
    parser = side_by_side.arguments(__doc__.splitlines()[0], out, kept)
    for who in ("victims", "replicas"):
        parser.add_argument(f"--{who}", nargs="+", default=["darts", "resnet"], metavar="NAME", help="published cells and model plug-ins")
    parser.add_argument("--budgets", type=int, nargs="+", default=[100, 300, 900], help="queries")
    parser.add_argument("--budget", type=int, default=300, help="that of the adaptive and the defended thefts")
    options = parser.parse_args(argv)
    side_by_side.check_seeds(options.seeds)
    for option in ("victims", "replicas", "budgets"):
        side_by_side.check_once(option, getattr(options, option))
    for name in (*options.victims, *options.replicas):
        describe(name)
    require(min(options.budgets) >= 1, f"--budgets: {min(options.budgets)} is not at least 1")
    require(options.budget in options.budgets, f"--budget: {options.budget} is not one of --budgets {options.budgets}")
    runs, failed = measure(
        options.victims, options.replicas, options.budgets, options.budget, options.seeds, options.workers, options.runs, options.flags
    )
    return side_by_side.publish(options, runs, failed, lambda r: table(r, options.budget), picture, (BEGIN, END), budget=options.budget)


# What is run


def measure(
    victims: Sequence[str],
    replicas: Sequence[str],
    budgets: Sequence[int],
    one: int,
    seeds: Sequence[int],
    workers: int,
    root: Path,
    flags: Sequence[str] = (),
) -> tuple[list[Run], list[str]]:
    """Victims, then all thefts from them, each in its run folder below `root` → what their rows say, a line for each job that failed."""
    pairs = [(victim, seed) for seed in seeds for victim in victims]
    with cpu_seconds.on_path(), Pool(workers, root / ".pool", runner=cpu_seconds.RUNNER, threads=1) as pool:
        trained = pool.run([victim_command(*pair, root, flags) for pair in pairs])
        there = {pair: outcome.folder for pair, outcome in zip(pairs, trained, strict=True) if outcome.good and outcome.folder}
        asked = [
            (victim, seed, replica, way, budget)
            for victim, seed in there
            for replica in replicas
            for way in WAYS
            for budget in (budgets if way == "random" else [one])
        ]
        stolen = pool.run([theft_command(there[victim, seed], seed, *rest, root, flags) for victim, seed, *rest in asked])
    names = ("victim", "seed", "replica", "way", "budget")
    found = [
        dict(zip(names, one, strict=True)) | numbers(outcome.folder)
        for one, outcome in zip(asked, stolen, strict=True)
        if outcome.good and outcome.folder
    ]
    runs = [run for run in found if run["ace"] is not None]  # a training that ended in NaN answers nothing
    silent = [f"failed: no answer of the replica: {[run[name] for name in names]}" for run in found if run["ace"] is None]
    runs.sort(key=lambda run: (victims.index(run["victim"]), replicas.index(run["replica"])))
    return runs, [*side_by_side.failures([*trained, *stolen]), *silent]


def victim_command(name: str, seed: int, root: Path, flags: Sequence[str] = ()) -> list[str]:
    """The recipe of every model, on a share of the training set."""
    own = [f"--model.network={name}", f"--data.members={MEMBERS:g}", "--data.validation=0", "--experiment=stealing-victims"]
    own += [f"--data.batch_size={BATCH}", f"--trainer.max_epochs={EPOCHS}"]
    return ["fit", "--config", "classify.yaml", *common(seed, root), *own, *_more(flags)]


def theft_command(victim: Path, seed: int, replica: str, way: str, budget: int, root: Path, flags: Sequence[str] = ()) -> list[str]:
    """Model and recipe are the replica's; the data are those of the victim's run."""
    config, *defence = WAYS[way][1]
    own = [f"--attacks.knockoff.victim={victim}", f"--attacks.knockoff.budget={budget}", f"--model.network={replica}"]
    own += ["--scale=tiny", f"--seed_everything={OTHER_SEED + seed}", f"--trainer.max_epochs={EPOCHS}"]
    return ["fit", "--config", config, *own, *defence, "--wandb=off", f"--runs={root}", "--experiment=stealing", *_more(flags)]


def _more(flags: Sequence[str]) -> list[str]:
    return [f"--{flag.removeprefix('--')}" for flag in flags]


def numbers(folder: Path) -> Run:
    """Of a theft: `METRICS`, family of the replica, n of the test, seconds."""
    rows = {row.metric: row for row in Rows(folder / "results.jsonl").read() if row.plugin == "knockoff"}
    found = {name: rows[name].value for name in METRICS}
    return found | {"family": rows["ace"].family, "n": rows["ace"].n, "ci": rows["ace"].ci, "cpu_seconds": cpu_seconds.read(folder)}


# What is shown


def table(runs: Sequence[Run], budget: int) -> str:
    """Markdown: Fig. 9's budgets, Table 2's pairs, and what a bandit and a defence make of it."""
    seeds = side_by_side.seeds_of(runs)
    n = runs[0]["n"]
    text = (
        f"Mean over {len(seeds)} seed{'s' * (len(seeds) > 1)} of victim and replica together ({', '.join(map(str, seeds))}), and Student's "
        f"95% interval of it: how it would vary with other seeds. ACE: average cross entropy (Eq. 8) between the victim's and the "
        f"replica's answers to the {n} test images, in nats, lower: more is stolen; divergence: ACE less the victim's own entropy, 0 for a "
        f"copy. Victims saw {100 * MEMBERS:g}% of the training set and were asked about the rest; both were trained for {EPOCHS} epochs. "
        "More queries are also more steps, as the epochs are the same."
    )
    return "\n".join([*_lines(runs, budget), "", text, "", *_matrix(runs, budget)])


def _lines(runs: Sequence[Run], budget: int) -> list[str]:
    head = ["victim → replica", "queries are", "budget", "ACE", "divergence", "agreement, %", "replica's accuracy, %", "victim's, %"]
    lines = [f"| {' | '.join(head)} |", rule(8, texts=2)]
    seeds = side_by_side.seeds_of(runs)
    for victim, replica, way, queries in order(runs):
        own = [run for run in runs if (run["victim"], run["replica"], run["way"], run["budget"]) == (victim, replica, way, queries)]
        cells = [side_by_side.titled(f"{_title(victim)} → {_title(replica)}", own, seeds), WAYS[way][0], f"{queries:,}"]
        cells += [between([run[name] for run in own], 3) for name in ("ace", "divergence")]
        cells += [between([100 * run[name] for run in own], 1, most=100) for name in ("agreement", "replica_accuracy", "victim_accuracy")]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _matrix(runs: Sequence[Run], budget: int) -> list[str]:
    """Table 2: ACE and divergence at one budget, replicas down, victims across."""
    own = [run for run in runs if run["way"] == "random" and run["budget"] == budget]
    victims, replicas = (list(dict.fromkeys(run[who] for run in own)) for who in ("victim", "replica"))
    lines = [f"ACE (divergence) at {budget:,} random queries, as Table 2:", ""]
    lines += [f"| replica ↓ victim → | {' | '.join(map(_title, victims))} |", rule(1 + len(victims))]
    for replica in replicas:
        cells = [_title(replica)]
        for victim in victims:
            found = [run for run in own if (run["victim"], run["replica"]) == (victim, replica)]
            cells.append(f"{mean(r['ace'] for r in found):.3f} ({mean(r['divergence'] for r in found):.3f})" if found else "–")
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def order(runs: Sequence[Run]) -> list[tuple[str, str, str, int]]:
    """Pairs as they were asked for, then ways as in `WAYS`, then budgets."""
    pairs = list(dict.fromkeys((run["victim"], run["replica"]) for run in runs))
    there = {(run["victim"], run["replica"], run["way"], run["budget"]) for run in runs}
    return sorted(there, key=lambda one: (pairs.index(one[:2]), list(WAYS).index(one[2]), one[3]))


def _title(name: str) -> str:
    return TITLES.get(name, name)


def picture(runs: Sequence[Run], path: Path) -> None:
    """Fig. 9: ACE over the budget, a panel a victim, a colour a replica; the adaptive and the defended thefts beside."""
    from matplotlib.figure import Figure

    victims, replicas = (list(dict.fromkeys(run[who] for run in runs)) for who in ("victim", "replica"))
    figure = Figure(figsize=(5.6 * len(victims), 4.8), layout="constrained")
    panels = figure.subplots(1, len(victims), sharey=True, squeeze=False)[0]
    for axes, victim in zip(panels, victims, strict=True):
        for k, replica in enumerate(replicas):
            _draw(axes, [r for r in runs if (r["victim"], r["replica"]) == (victim, replica)], replica, k - (len(replicas) - 1) / 2)
        axes.set(xlabel="queries", xscale="log")
        side_by_side.plain_log_ticks(axes)
        budgets = sorted({run["budget"] for run in runs})
        axes.set_xticks(budgets, [f"{budget:,}" for budget in budgets])
        axes.set_title(f"victim: {_title(victim)}", fontsize=10, loc="left")
        axes.grid(axis="y", color="#e4e4e4")
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].set(ylabel="ACE, nats")
    panels[-1].legend(frameon=False, fontsize=8, title="replica; marks beside a line are at the same budget", title_fontsize=8)
    side_by_side.save(figure, path)


MARKS = {"random": "o", "adaptive": "^", "rounded": "s", "labels": "x"}


def _draw(axes, runs: Sequence[Run], replica: str, shift: float) -> None:  # type: ignore[no-untyped-def]
    """One victim and replica: a line of random queries, a mark for each other way; nothing of a pair whose jobs have all failed."""
    if not runs:
        return
    _, colour, _ = KINDS[runs[0]["family"]]
    for place, way in enumerate(WAYS):
        own = [run for run in runs if run["way"] == way]
        budgets = sorted({run["budget"] for run in own})
        values = [[run["ace"] for run in own if run["budget"] == budget] for budget in budgets]
        means = [mean(v) for v in values]
        bars = [side_by_side.interval(v) if len(v) > 1 else (v[0], v[0]) for v in values]
        error = [[m - low for m, (low, _) in zip(means, bars, strict=True)], [high - m for m, (_, high) in zip(means, bars, strict=True)]]
        x = [budget * 1.03 ** (shift + 2.4 * place) for budget in budgets]
        line = {"linewidth": 1.5 if way == "random" else 0, "markersize": 6, "capsize": 2, "elinewidth": 1}
        axes.errorbar(x, means, yerr=error, fmt=f"{MARKS[way]}-", color=colour, label=f"{_title(replica)}, {WAYS[way][0]}", **line)


if __name__ == "__main__":
    raise SystemExit(side_by_side.ended(main))
