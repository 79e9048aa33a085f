"""What the probe benchmark runs: random cells and named networks, each trained, explained and attacked alike, all as jobs.

The recipe is short, on purpose: half of the training set, so that there are non-members for membership and a pool for stealing, and no
augmentation, so that both have something to find. ε is spread over where the cloud lies: at the paper's 8/255 every network falls.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cpu_seconds
import side_by_side
from side_by_side import Run, common
from table_of_models import MANUAL, TITLES

from robnas import atomic, plugins
from robnas.models.build import describe
from robnas.results import Row, Rows, plain
from robnas.space.facts import CELL_FACTS
from robnas.space.genotype import Genotype
from robnas.space.percentile import random_genotypes
from robnas.space.published import names
from robnas.study import Pool

CELLS_SEED = 1
"""Of the random cells; percentiles elsewhere are among those of seed 0."""
DARTS = ("darts_i", "darts_ii", "darts_iii")
PLACED = (*TITLES, *DARTS)
"""Networks with a name: ten published cells, seven manual families, three that the paper makes of DARTS."""
EPOCHS = 6
RECIPE = ("--data.members=0.5", "--data.augment=false", f"--trainer.max_epochs={EPOCHS}")
RADII = {"pgd": (2, 3, 5), "noise": (24, 40), "square": (6, 12)}
"""ε of evasions inside a ball, in 255ths; balls are nested, so that what is broken already is not attacked again."""
MIDDLE = 3
"""ε of the picture, in 255ths: one of PGD's."""


class Attack(NamedTuple):
    """title; what: it is measured in; plugin, metric: of its rows, as a mean over `radii` where there are any; sign: −1 where a larger
    number means less vulnerable.
    """

    title: str
    what: str
    plugin: str
    metric: str
    sign: int = 1
    radii: tuple[int, ...] = ()


ATTACKS = {
    "pgd": Attack("PGD", "ASR, mean over ε of 2, 3, 5/255, 5 steps", "pgd", "asr", 1, RADII["pgd"]),
    "square": Attack("Square", "ASR, mean over ε of 6, 12/255, 30 queries", "square", "asr", 1, RADII["square"]),
    "noise": Attack("noise", "ASR, mean over ε of 24, 40/255, 10 queries", "noise", "asr", 1, RADII["noise"]),
    "hopskipjump": Attack("HopSkipJump", "median L2 distance, 2 steps; nearer is more vulnerable", "hopskipjump", "median_distance", -1),
    "membership": Attack("membership", "signed AUC of the loss", "loss", "auc"),
    "label_flip": Attack("label flip", "CAD at 40% of flipped labels", "labelflip", "cad"),
    "badnets": Attack("BadNets", "ASR at 2% of stamped inputs, retrained for 3 epochs", "badnets", "asr"),
    "knockoff": Attack("Knockoff", "ACE of a ResNet, 200 queries; lower is more vulnerable", "knockoff", "ace", -1),
}
EVALUATED = {
    **{
        name: {"class_path": "eps_sweep", "attack": name, "eps": f"[{','.join(f'{eps}/255' for eps in RADII[name])}]"}
        | {f"attack.{option}": value for option, value in options.items()}
        for name, options in {
            "pgd": {"steps": 5, "n_restarts": 1, "max_inputs": 240},
            "noise": {"n_queries": 10, "max_inputs": 180},
            "square": {"n_queries": 30, "max_inputs": 80},
        }.items()
    },
    "hopskipjump": {"class_path": "hopskipjump", "steps": 2, "initial_evaluations": 20, "max_evaluations": 40, "max_inputs": 40},
    "membership": {"class_path": "membership_loss"},
}
"""By block of `robnas attack`: the class, and options that make it cheap."""
TRAINED = {
    "label_flip": ("label_flip.yaml", [*RECIPE, "--attacks.label_flip.rate=0.4", "--attacks.label_flip.clean={run}"]),
    "badnets": ("badnets.yaml", [*RECIPE[:2], "--trainer.max_epochs=3", "--model.init_from={run}", "--attacks.badnets.share=0.02"]),
    "knockoff": ("knockoff.yaml", ["--attacks.knockoff.victim={run}", "--attacks.knockoff.budget=200", "--trainer.max_epochs=10"]),
}
"""Attacks that train: config, and flags; {run} is the folder of the clean training, which no other one is needed beside."""
BEFORE = {
    "zero_cost": {"n_samples": 64, "batch": 64},
    "ntk": {"n_samples": 32, "batch": 16, "hooks": "[fit_start]"},
    "convergence": {"losses": "[1.5,1.0,0.5,0.1]"},
}
"""Probes that a training takes along, where they are installed."""
AFTER = {
    "gradient_variance": {"n_samples": 64},
    "gradient_variance_own": {"class_path": "gradient_variance", "n_samples": 64, "initialisation": "own", "batch_norm": "inputs"},
    "gradient_variance_kaiming": {"class_path": "gradient_variance", "n_samples": 64, "initialisation": "kaiming", "batch_norm": "inputs"},
    "contours": {"points": 5, "n_samples": 128, "resamples": 0},
    "input_contours": {"points": 5, "n_samples": 32, "n_drawn": 0},
    "smoothness": {"n_samples": 16, "steps": 6, "theorem_inputs": 0, "secant_steps": 2},
}
"""Probes of what was trained, where they are installed."""


class Network(NamedTuple):
    """name; group: "random", or as `group_of`; network: what `--model.network` is."""

    name: str
    group: str
    network: str


def networks(cells: int, placed: Sequence[str], root: Path) -> list[Network]:
    """So many random cells, whose files come to lie below `root`, and those with a name."""
    drawn = []
    for number, genotype in enumerate(random_genotypes(4, cells, CELLS_SEED)):  # not written again: jobs go by what is in it
        path = root / "cells" / f"random_{number:03d}.yaml"
        if not path.is_file() or path.read_text("utf-8") != genotype.to_yaml():
            path.parent.mkdir(parents=True, exist_ok=True)
            atomic.write(path, genotype.to_yaml())
        drawn.append(Network(path.stem, "random", str(path)))
    return drawn + [Network(describe(network)["name"], group_of(network), network) for network in placed]


def group_of(network: str) -> str:
    """Of a network with a name: "published", "darts" or "manual"; "custom" for the user's own."""
    if network in (*MANUAL, *DARTS):
        return "manual" if network in MANUAL else "darts"
    return "published" if network in names() else "custom"


# What is run


def measure(
    asked: Sequence[Network], seeds: Sequence[int], workers: int, root: Path, flags: Sequence[str] = ()
) -> tuple[list[Run], list[str]]:
    """Each network from each seed: trained; then probed, attacked, poisoned and stolen → what rows say, a line for each job that failed.

    What lacks an attack or a probe is there without it.
    """
    pairs = [(network, seed) for seed in seeds for network in asked]
    with cpu_seconds.on_path(), Pool(workers, root / ".pool", runner=cpu_seconds.RUNNER, threads=1) as pool:
        trained = pool.run([training(network, seed, root, flags) for network, seed in pairs])
        there = {pair: outcome.folder for pair, outcome in zip(pairs, trained, strict=True) if outcome.good and outcome.folder}
        more = {(pair, what): command for pair, folder in there.items() for what, command in further(*pair, folder, root, flags).items()}
        ended = dict(zip(more, pool.run(list(more.values())), strict=True))
    runs = []
    for pair, folder in there.items():
        folders = {what: outcome.folder for (of, what), outcome in ended.items() if of == pair and outcome.good and what in TRAINED}
        runs.append(plain(numbers(*pair, folder, {what: path for what, path in folders.items() if path})))  # ∞ as text: JSON has none
    return runs, side_by_side.failures([*trained, *ended.values()])


def training(network: Network, seed: int, root: Path, flags: Sequence[str] = ()) -> list[str]:
    """The recipe of every model, shortened; with the probes that must be there from its beginning."""
    own = [*RECIPE, f"--model.network={network.network}", "--experiment=probes", *blocks("probes", BEFORE)]
    return ["fit", "--config", "classify.yaml", *common(seed, root), *own, *_more(flags)]


def further(network: Network, seed: int, folder: Path, root: Path, flags: Sequence[str] = ()) -> dict[str, list[str]]:
    """What is done with a trained network, by name of the attack; "probe", and "attack" for all that only evaluate."""
    found = {what: [what, str(folder), "--wandb=off"] for what in ("probe", "attack")}
    found["probe"] += blocks("probes", AFTER)
    found["attack"] += blocks("attacks", EVALUATED)
    for what, (config, own) in TRAINED.items():
        if what == "knockoff":  # data are those of the victim's run; a thief of the victim's seed would begin with like weights
            shared = ["--scale=tiny", f"--seed_everything={100 + seed}", "--wandb=off", f"--runs={root}", "--model.network=resnet"]
        else:
            shared = [*common(seed, root), f"--model.network={network.network}"]
        flagged = [flag.format(run=folder) for flag in own]
        found[what] = ["fit", "--config", config, *shared, *flagged, f"--experiment=probes-{what}", *_more(flags)]
    return found


def blocks(kind: str, asked: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Flags of named blocks, but for classes that are not installed. kind: "probes" or "attacks"."""
    known, flags = plugins.names(f"robnas.{kind}"), []
    for name, options in asked.items():
        if (cls := options.get("class_path", name)) in known:
            flags += [f"--{kind}.{name}={cls}", *(f"--{kind}.{name}.{k}={v}" for k, v in options.items() if k != "class_path")]
    return flags


def _more(flags: Sequence[str]) -> list[str]:
    return [f"--{flag.removeprefix('--')}" for flag in flags]


# What is read


def numbers(network: Network, seed: int, folder: Path, folders: Mapping[str, Path]) -> Run:
    """Of one network and seed, in plain values: None where there is no number.

    folder: of the clean training. folders: of those that were attacked, by name of the attack.
    """
    rows = Rows(folder / "results.jsonl").read()
    accuracy = side_by_side.accuracy(folder)
    all_rows = rows + [row for path in folders.values() for row in Rows(path / "results.jsonl").read()]
    robust = [row.value for row in rows if (row.plugin, row.metric) == ("pgd", "robust_accuracy") and _radius(row) == MIDDLE]
    spent = {(row.plugin, str(row.params)): row.seconds or 0.0 for row in rows if row.kind in ("attack", "probe")}
    return {
        "network": network.name,
        "group": network.group,
        "seed": seed,
        "family": accuracy.family,
        "accuracy": accuracy.value,
        "n": accuracy.n,
        "robust_accuracy": robust[-1] if robust else None,
        "attacks": {key: found(attack, all_rows) for key, attack in ATTACKS.items()},
        "explanations": explanations(network, rows),
        "cpu_seconds": {"training": cpu_seconds.read(folder)} | {key: cpu_seconds.read(path) for key, path in folders.items()},
        "seconds_of_probes_and_evaluations": round(math.fsum(spent.values()), 1),
    }


def found(attack: Attack, rows: Sequence[Row]) -> float | None:
    """What the attack's rows say; the last one where it was run with other options before."""
    own = [row for row in rows if (row.plugin, row.metric) == (attack.plugin, attack.metric) and row.value is not None]
    if not attack.radii:
        return own[-1].value if own else None
    values = {_radius(row): row.value for row in own}
    there = [values[radius] for radius in attack.radii if radius in values]
    return math.fsum(there) / len(there) if len(there) == len(attack.radii) else None


def explanations(network: Network, rows: Sequence[Row]) -> dict[str, float | None]:
    """All that probes found, and what there is to say of a cell without one: {"cell/normal/depth": 3, "contours/rise": 0.7, …}."""
    own: dict[str, float | None] = {}
    if (cell := describe(network.network).get("genotype")) is not None:
        cells = Genotype.from_dict(cell).cells
        own |= {f"cell/{kind}/{fact}": float(getattr(cell, fact)) for kind, cell in cells.items() for fact in CELL_FACTS}
    own |= {f"size/{row.metric}": row.value for row in rows if row.plugin == "size"}
    accuracy = [row.value for row in rows if row.kind == "train" and row.plugin == "accuracy"]
    return own | {"training/accuracy": accuracy[-1] if accuracy else None} | {name(row): never(row) for row in rows if row.kind == "probe"}


def name(row: Row) -> str:
    """Of an explanation: "gradientvariance/gradient_variance, own" where it is of an initialisation, "zerocost/nwot, before"."""
    when = row.params.get("initialisation") or ("before" if row.params.get("at") == "fit_start" else "")
    return f"{row.plugin}/{row.metric}" + (f", {when}" if when else "")


def never(row: Row) -> float | None:
    """Its value; ∞ for steps and epochs to what the training never reached: later than all that did."""
    missed = row.value is None and row.plugin == "convergence" and "_to_" in row.metric
    return math.inf if missed else row.value


def _radius(row: Row) -> int | None:
    """ε in 255ths; None where it is no whole number of them, or where there is none."""
    eps = 255 * float(row.params.get("eps", math.nan))
    return round(eps) if math.isfinite(eps) and abs(eps - round(eps)) < 1e-6 else None
