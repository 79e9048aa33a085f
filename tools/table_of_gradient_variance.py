"""Fig. 12's claim before training: is the gradient variance of NAS models two orders of magnitude below that of manual ones?

    python tools/table_of_gradient_variance.py [--seeds 0 1 2] [--models darts resnet …] [--inputs 64] [--workers 2]

Models of the paper's size on Textures32, whose images have CIFAR's shape: with their authors' initialisation and with Kaiming's for all,
with batch norms as they are before training and with the moments of the inputs. Every number is a row in `--runs`/gradient_variance as
soon as it is known: the same command goes on where it was. Writes the table into --out between two markers, a picture beside it, all
numbers into --numbers.
"""

import math
import multiprocessing
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from statistics import mean

import numpy as np
import side_by_side
from side_by_side import REPOSITORY, Run, check_once, check_seeds, interval, rule
from table_of_models import KINDS, TITLES

from robnas.errors import require
from robnas.provenance import versions
from robnas.results import Row, Rows

PAGE = REPOSITORY / "docs" / "gradient-variance.md"
NUMBERS = REPOSITORY / "benchmarks" / "results" / "gradient-variance-textures32.json"
MARKERS = ("<!-- gradient variance: tools/table_of_gradient_variance.py writes what follows -->", "<!-- gradient variance: end -->")

CONDITIONS = tuple((initialisation, moments) for moments in ("running", "inputs", "batch") for initialisation in ("own", "kaiming"))
SAYS = {"own": "own weights", "kaiming": "Kaiming weights", "running": "norms idle", "inputs": "norms settled", "batch": "mini-batches"}
BATCH = 16
METRICS = {"gradient_variance": "in all", "gradient_variance_per_parameter": "per parameter"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status: 1 where a network could not be measured."""
    parser = side_by_side.arguments(__doc__.splitlines()[0], PAGE, NUMBERS)
    parser.add_argument("--models", nargs="+", default=list(TITLES))
    parser.add_argument("--inputs", type=int, default=64)
    parser.add_argument("--size", default="paper")
    options = parser.parse_args(arguments)
    check_seeds(options.seeds)
    check_once("models", options.models)
    least = 3 * BATCH // 4
    require(options.inputs >= least, f"--inputs: {options.inputs} is not ≥ {least}: four times as many must be three mini-batches")
    for model in options.models:
        describe(model)
    store = Rows(options.runs / "gradient_variance" / "results.jsonl")
    there = {identity(row) for row in store.read()}
    wanted = [(model, seed, *c) for seed in options.seeds for model in options.models for c in CONDITIONS]
    missing = [w for w in wanted if (*w, options.inputs, options.size) not in there]
    failed = []
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(options.workers, mp_context=context) as pool:
        futures = {pool.submit(measure, *w, options.inputs, options.size, store.path): w for w in missing}
        for future, w in futures.items():
            if (error := future.exception()) is not None:
                failed.append(f"failed: {w}: {error!r}")
            else:
                print(" ".join(map(str, w)), f"{future.result():.1f} s", flush=True)
    named = {(*w, options.inputs, options.size) for w in wanted}
    runs = [as_run(row) for row in store.read() if identity(row) in named]
    about = {"inputs": options.inputs, "size": options.size, "data": "textures32"}
    return side_by_side.publish(options, runs, failed, table, picture, MARKERS, **about)


# What is measured


def describe(model: str) -> dict:
    """Raises UserError."""
    from robnas.models.build import describe

    return describe(model)


def measure(model: str, seed: int, initialisation: str, moments: str, inputs: int, size: str, path: Path) -> float:
    """Writes the rows of one network → seconds. In a process of its own, one thread."""
    import torch

    from robnas import seeds
    from robnas.copies import digest
    from robnas.data.textures32 import Textures32
    from robnas.initialise import kaiming_
    from robnas.models.build import of_architecture
    from robnas.probes.gradient_variance import GradientVariance

    torch.set_num_threads(1)
    data = Textures32(n_train=10 * max(inputs, 100), n_test=10)
    train, _ = data.sets()
    of_batches = moments == "batch"
    inputs_in_all = 4 * inputs if of_batches else inputs  # as many gradients would be too dear, a quarter of them still have a spread
    chosen = torch.randperm(len(train.y), generator=seeds.generator("gradient variance"))[:inputs_in_all]
    x, y = train.x[chosen].float() / 255, train.y[chosen]
    about = {"description": describe(model), "size": size, "options": {}, "num_classes": data.num_classes}
    about |= {"image_shape": data.image_shape, "mean": data.mean, "std": data.std}
    torch.manual_seed(seeds.derive(seed, "weights"))  # as `Classifier` draws them
    network = of_architecture(about)
    if initialisation == "kaiming":
        kaiming_(network.network, seed)
    probe = GradientVariance(n_samples=inputs_in_all, batch_norm=moments, batch=BATCH if of_batches else 1)
    probe.check()
    begin = time.process_time()
    found = probe.measure(network.eval().requires_grad_(False), x, y)
    seconds = round(time.process_time() - begin, 1)
    common = {"dataset": data.name, "model": model, "family": about["description"]["family"], "victim": digest(network), "train_seed": seed}
    params = {"initialisation": initialisation, "batch_norm": moments, "n_samples": inputs, "size": size}
    rest = {"kind": "probe", "plugin": "gradientvariance", "params": params, "seconds": seconds, "versions": versions()}
    rows = [Row(metric=name, **found.numbers[name]._asdict() | {"flags": []}, **common, **rest) for name in METRICS]
    if of_batches:  # as of single inputs, which a mean over `BATCH` of them would have 1/BATCH of
        rows = [replace(r, value=BATCH * (r.value or 0), ci=r.ci and (BATCH * r.ci[0], BATCH * r.ci[1])) for r in rows]
    Rows(path).write(rows)
    return seconds


def identity(row: Row) -> tuple:
    """Model, seed, initialisation, moments, inputs, size."""
    return (row.model, row.train_seed, *(row.params.get(k) for k in ("initialisation", "batch_norm", "n_samples", "size")))


def as_run(row: Row) -> Run:
    """What the table needs of it."""
    keys = {"model": row.model, "family": row.family, "seed": row.train_seed, "metric": row.metric, "value": row.value, "ci": row.ci}
    return keys | {k: row.params[k] for k in ("initialisation", "batch_norm")} | {"n": row.n, "seconds": row.seconds}


# What is said


def of(runs: Sequence[Run], condition: tuple[str, str], metric: str, **more: str) -> list[Run]:
    """Those of a condition; `more`: of a model, or of a family."""
    wanted = {"initialisation": condition[0], "batch_norm": condition[1], "metric": metric, **more}
    return [run for run in runs if all(run[k] == v for k, v in wanted.items())]


def middle(own: Sequence[Run]) -> tuple[float, float, float]:
    """Geometric mean over seeds with Student's interval of it; of one seed its interval over inputs."""
    if len(own) == 1:
        return own[0]["value"], *own[0]["ci"]
    logs = [math.log(run["value"]) for run in own]
    low, high = interval(logs, least=-math.inf)
    return math.exp(mean(logs)), math.exp(low), math.exp(high)


def orders(runs: Sequence[Run], condition: tuple[str, str], metric: str, resamples: int = 9999) -> tuple[float, float, float] | None:
    """log₁₀ of manual over NAS, of the families' geometric means, with a bootstrap interval over models; None without both families."""
    logs = {}
    for family in ("manual", "nas"):
        own = of(runs, condition, metric, family=family)
        logs[family] = np.array([math.log10(middle(of(own, condition, metric, model=m))[0]) for m in sorted({r["model"] for r in own})])
    if not all(len(values) for values in logs.values()):
        return None
    rng = np.random.default_rng(0)
    drawn = {f: v[rng.integers(0, len(v), (resamples, len(v)))].mean(1) for f, v in logs.items()}
    low, high = np.quantile(drawn["manual"] - drawn["nas"], [0.025, 0.975])
    return float(logs["manual"].mean() - logs["nas"].mean()), float(low), float(high)


def verdict(found: tuple[float, float, float]) -> str:
    """Against "more than two orders of magnitude smaller"."""
    _, low, high = found
    if low > 2:
        return "as claimed"
    if high < 0:
        return "the other way round"
    if low <= 0:
        return "no difference seen" + (", nor two orders excluded" if high >= 2 else "")
    return "smaller for NAS, " + ("but by less than two orders" if high < 2 else "two orders not excluded")


def table(runs: Sequence[Run]) -> str:
    """One for each metric, and how to read them."""
    head = ["model", "kind", *(", ".join(SAYS[c] for c in condition) for condition in CONDITIONS)]
    parts = []
    for metric, title in METRICS.items():
        body = []
        for name in order(runs):
            own = [run for run in runs if run["model"] == name]
            cells = [_cell(of(own, condition, metric)) for condition in CONDITIONS]
            body.append(f"| {TITLES.get(name, name)} | {KINDS[own[0]['family']][0]} | {' | '.join(cells)} |")
        ratio = [orders(runs, condition, metric) for condition in CONDITIONS]
        if any(ratio):
            said = ["–" if r is None else f"{r[0]:.2f} [{r[1]:.2f}, {r[2]:.2f}]: {verdict(r)}" for r in ratio]
            body.append(f"| **log₁₀ manual / NAS** | | {' | '.join(said)} |")
        parts.append("\n".join([f"Gradient variance before training, {title}:", "", f"| {' | '.join(head)} |", rule(len(head), 2), *body]))
    seeds = side_by_side.seeds_of(runs)
    over = "over inputs" if len(seeds) == 1 else f"of the geometric mean over {len(seeds)} seeds of the initialisation"
    n = min(run["n"] for run in runs)
    about = (
        f"Var(g) of Eq. 14 over {n} images; 95% intervals are {over}, and in the last line over models (bootstrap of both families). "
        "The paper says that before training the variance of NAS models is more than two orders of magnitude smaller: a log₁₀ above 2. "
        "Own weights: as each family's authors draw them. Norms idle: batch norms in evaluation mode as they begin, which normalise "
        "nothing; settled: with the moments of these inputs, as constants; mini-batches: gradients of "
        f"{BATCH} inputs with norms in training mode, as SGD has them, from four times as many images, times {BATCH}. BiT has no batch "
        "norms. The ten cells are variants of one design, and each family is one network: intervals over models take them as draws."
    )
    return "\n\n".join([*parts, about])


def _cell(own: Sequence[Run]) -> str:
    if not own:
        return "–"
    value, low, high = middle(own)
    return f"{value:.2g} [{low:.2g}, {high:.2g}]"


def order(runs: Sequence[Run]) -> list[str]:
    """Cells first, then manual families."""
    there = {run["model"] for run in runs}
    return [name for name in TITLES if name in there] + sorted(there - set(TITLES))


def picture(runs: Sequence[Run], path: Path) -> None:
    """A panel a condition, a line a model, as Fig. 12; total above, per parameter below."""
    from matplotlib.figure import Figure

    names = order(runs)[::-1]
    figure = Figure(figsize=(15, 0.62 * len(names) + 2.4), layout="constrained")
    panels = figure.subplots(len(METRICS), len(CONDITIONS), sharey=True, squeeze=False)
    for row, (metric, title) in zip(panels, METRICS.items(), strict=True):
        for axes, condition in zip(row, CONDITIONS, strict=True):
            for i, name in enumerate(names):
                own = of(runs, condition, metric, model=name)
                if own:
                    _, colour, marker = KINDS[own[0]["family"]]
                    value, low, high = middle(own)
                    axes.plot(
                        [run["value"] for run in own], [i] * len(own), marker, color=colour, markersize=3.5, alpha=0.5, markeredgewidth=0
                    )
                    axes.errorbar(
                        value, i, xerr=[[value - low], [high - value]], fmt=marker, color=colour, markersize=6, capsize=2, linewidth=1
                    )
            axes.set(xscale="log", xlabel=f"Var(g), {title}")
            axes.set_title(", ".join(SAYS[c] for c in condition), fontsize=10, loc="left")
            axes.set_yticks(range(len(names)), [TITLES.get(name, name) for name in names])
            axes.grid(axis="x", alpha=0.3)
            axes.spines[["top", "right"]].set_visible(False)
    kinds = [KINDS[kind] for kind in KINDS if any(run["family"] == kind for run in runs)]
    handles = [panels[0][0].plot([], [], marker, color=colour, markersize=6)[0] for _, colour, marker in kinds]
    figure.legend(handles, [title for title, _, _ in kinds], frameon=False, loc="outside lower center", ncols=3)
    side_by_side.save(figure, path)


if __name__ == "__main__":
    raise SystemExit(side_by_side.ended(main))
