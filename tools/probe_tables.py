"""The tables of the probe benchmark: which explanation goes with which vulnerability, and which vulnerability with which other."""

import math
from collections.abc import Sequence
from itertools import combinations
from statistics import fmean
from typing import Any

import numpy as np
import side_by_side
from numpy.typing import NDArray
from probe_cloud import ATTACKS, CELLS_SEED, MIDDLE, PLACED
from side_by_side import Run, rule

from robnas.report.names import MODELS
from robnas.space.percentile import percentile
from robnas.statistics import Correlations, kendall, kendall_by_chance, kendall_partial, kendall_table

Array = NDArray[np.float64]
EXPLAINED = {
    "cell/normal/depth": "depth of the normal cell",
    "cell/normal/width": "width of the normal cell",
    "cell/normal/skips": "skips of the normal cell",
    "cell/normal/convolutions": "convolutions of the normal cell",
    "cell/reduce/depth": "depth of the reduction cell",
    "cell/reduce/width": "width of the reduction cell",
    "cell/reduce/skips": "skips of the reduction cell",
    "cell/reduce/convolutions": "convolutions of the reduction cell",
    "size/parameters": "parameters",
    "size/flops": "FLOPs",
    "training/accuracy": "clean accuracy",
    "convergence/early_loss_area": "area under the loss of 5 epochs",
    "convergence/steps_to_loss_1": "steps to a loss of 1",
    "convergence/steps_to_loss_0.5": "steps to a loss of ½",
    "convergence/final_loss": "last training loss",
    "gradientvariance/gradient_variance, own": "gradient variance at own initialisation",
    "gradientvariance/gradient_variance, kaiming": "gradient variance at Kaiming initialisation",
    "gradientvariance/gradient_variance_per_parameter, kaiming": "gradient variance at Kaiming initialisation, per parameter",
    "gradientvariance/gradient_variance": "gradient variance, trained",
    "contours/rise": "contour of weights: rise",
    "contours/curvature": "contour of weights: curvature",
    "inputcontours/rise": "contour of inputs: rise",
    "inputcontours/curvature": "contour of inputs: curvature",
    "smoothness/lipschitz_parameters": "Lipschitz constant in weights",
    "smoothness/lipschitz_parameters_relative": "Lipschitz constant in weights, relative to them",
    "smoothness/lipschitz_input": "Lipschitz constant in inputs",
    "smoothness/first_layer_norm": "norm of the first layer",
    "ntk/ntk_condition_number, before": "NTK condition number, untrained",
    "zerocost/log_synflow, before": "synflow, untrained",
    "zerocost/nwot, before": "nwot, untrained",
    "zerocost/grad_norm, before": "norm of the gradient, untrained",
}
"""Explanations as the page shows them, by what `probe_cloud.explanations` calls them. Other numbers of these probes are in the file of
numbers alone; a probe that is not among these is shown with all that it found."""


# Numbers


def of_networks(runs: Sequence[Run]) -> dict[str, list[Run]]:
    """Network → its runs, a seed each."""
    found: dict[str, list[Run]] = {}
    for run in runs:
        found.setdefault(run["network"], []).append(run)
    return found


def explained(runs: Sequence[Run]) -> dict[str, str]:
    """Explanations that there are → titles: those of the page, then of probes that it does not know; none that is the same throughout."""
    there = {key for run in runs for key in run["explanations"]}
    known = {key.partition("/")[0] for key in EXPLAINED}
    titles = EXPLAINED | {key: key for key in sorted(there) if key.partition("/")[0] not in known}
    return {key: title for key, title in titles.items() if _differ(values(runs, "explanations", key))}


def values(runs: Sequence[Run], kind: str, key: str, seed: int | None = None) -> Array:
    """[networks] mean over seeds, or that of one seed; NaN where there is none. Attacks count as vulnerabilities: more is worse."""
    sign = ATTACKS[key].sign if kind == "attacks" else 1
    found = []
    for own in of_networks(runs).values():
        said = [run[kind].get(key) for run in own if seed is None or run["seed"] == seed]
        numbers = [float(value) for value in said if value is not None]
        found.append(sign * fmean(numbers) if numbers else math.nan)
    return np.array(found)


def matrix(runs: Sequence[Run], kind: str, keys: Sequence[str], seed: int | None = None) -> Array:
    """[keys, networks]."""
    return np.stack([values(runs, kind, key, seed) for key in keys]) if keys else np.empty((0, len(of_networks(runs))))


def attacked(runs: Sequence[Run]) -> list[str]:
    """Attacks that found something, and not the same everywhere."""
    return [key for key in ATTACKS if _differ(values(runs, "attacks", key))]


def _differ(found: Array) -> bool:
    return len(np.unique(found[~np.isnan(found)])) > 1


def reliability(runs: Sequence[Run], kind: str, key: str) -> float | None:
    """τ of the same quantity between two seeds, the mean over pairs of seeds; None with one seed."""
    seeds = side_by_side.seeds_of(runs)
    found = [kendall(values(runs, kind, key, a), values(runs, kind, key, b)) for a, b in combinations(seeds, 2)]
    found = [tau for tau in found if math.isfinite(tau)]
    return fmean(found) if found else None


# The page


def tables(runs: Sequence[Run]) -> str:
    """Markdown: attacks, explanation × attack, attack × attack, the networks that have a name."""
    random = [run for run in runs if run["group"] == "random"]
    parts = [about_attacks(random), about_explanations(random), about_connections(random), about_names(runs, random)]
    return "\n\n".join(part for part in parts if part)


def about_attacks(runs: Sequence[Run]) -> str:
    """A line an attack: what it found on random cells."""
    if not runs:
        return ""
    lines = ["| attack | measured | random cells: median | 5% to 95% | τ between seeds |", rule(5, texts=2)]
    for key in attacked(runs):
        found = ATTACKS[key].sign * values(runs, "attacks", key)
        low, middle, high = np.nanquantile(found, [0.05, 0.5, 0.95])
        there = int(np.isfinite(found).sum())
        cells = [
            ATTACKS[key].title + (f" ({there} of {len(found)} cells)" if there < len(found) else ""),
            ATTACKS[key].what,
            f"{middle:.3g}",
            f"{low:.3g} to {high:.3g}",
            _one(reliability(runs, "attacks", key)),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    seeds = side_by_side.seeds_of(runs)
    many = len(seeds) > 1
    each = f"mean of trainings from seeds {', '.join(map(str, seeds))}" if many else f"one training each, from seed {seeds[0]}"
    cells = len(of_networks(runs))
    text = f"{cells} random cells with all ten operations (uniform, seed {CELLS_SEED}), {each}. "
    if lost := lost_cells(runs):
        text += f"Without {', '.join(lost)}, whose training failed: those may not be any cells. "
    text += (
        "τ between seeds: of the same attack on the same cells, trained from another seed. What moves with the seed is no fact of the "
        "cell, and nothing that is known before training predicts it; a probe of the trained weights may see it."
        if many
        else "With one seed it is not known how much of what follows is noise of the training; `--seeds 0 1` says so."
    )
    return "\n".join([*lines, "", text])


def lost_cells(runs: Sequence[Run]) -> list[str]:
    """Random cells are numbered from 0: those below the last one that no run is of."""
    there = set(of_networks(runs))
    last = max((int(name.rpartition("_")[2]) for name in there if name.startswith("random_")), default=-1)
    return [name for number in range(last) if (name := f"random_{number:03d}") not in there]


def about_explanations(runs: Sequence[Run]) -> str:
    """Kendall's τ, a line an explanation, a column an attack."""
    titles, keys = explained(runs), attacked(runs)
    if not titles or not keys:
        return ""
    x, y = matrix(runs, "explanations", list(titles)), matrix(runs, "attacks", keys)
    found, chance = kendall_table(x, y), kendall_by_chance(x, y)
    lines = [f"| explanation | {' | '.join(ATTACKS[key].title for key in keys)} |", rule(1 + len(keys))]
    lines += [f"| {title} | {' | '.join(_tau(found, i, j, chance) for j in range(len(keys)))} |" for i, title in enumerate(titles.values())]
    order = [(abs(found.tau[i, j]), i, j) for i in range(len(titles)) for j in range(len(keys)) if abs(found.tau[i, j]) > chance]
    names = list(titles.values())
    size = values(runs, "explanations", "size/parameters")
    best = [
        f"{names[i]} for {ATTACKS[keys[j]].title} ({found.tau[i, j]:+.2f}, given the parameters {_given(x[i], y[j], size)})"
        for _, i, j in sorted(order, reverse=True)[:6]
    ]
    text = (
        f"Kendall's τ-b over {_cells(runs, found)}, positive where more of the explanation goes with more vulnerability, "
        "and its 95% bootstrap interval over cells, each by itself. Bold: beyond what the largest |τ| of a table of this size reaches in "
        f"one of twenty shuffles of the cells ({chance:.2f}). "
    )
    text += f"{len(order)} of {len(titles) * len(keys)} are" + (f", the largest: {'; '.join(best)}." if best else ".")
    return "\n".join([*lines, "", text])


def about_connections(runs: Sequence[Run]) -> str:
    """Kendall's τ of attack and attack: Remark 3."""
    keys = attacked(runs)
    if len(keys) < 2:
        return ""
    y = matrix(runs, "attacks", keys)
    found, chance = kendall_table(y, y), _chance_of_pairs(y)
    lines = [f"| | {' | '.join(ATTACKS[key].title for key in keys[1:])} |", rule(len(keys))]
    for i, key in enumerate(keys[:-1]):
        cells = ["" if j <= i else _tau(found, i, j, chance) for j in range(1, len(keys))]
        lines.append(f"| {ATTACKS[key].title} | {' | '.join(cells)} |")
    pairs = list(combinations(range(len(keys)), 2))
    above = [pair for pair in pairs if found.tau[pair] > chance]
    below = [pair for pair in pairs if found.tau[pair] < -chance]
    text = (
        f"Remark 3 says that vulnerabilities to different attacks are connected. Of {len(pairs)} pairs of attacks {len(above)} go together "
        f"and {len(below)} against each other beyond chance (|τ| above {chance:.2f}, bold, as above)"
    )
    against = "; ".join(f"{ATTACKS[keys[i]].title} and {ATTACKS[keys[j]].title}" for i, j in below)
    return "\n".join([*lines, "", text + (f": {against} go against each other." if below else ".")])


def about_names(runs: Sequence[Run], random: Sequence[Run]) -> str:
    """A line a named network: where it stands among random cells."""
    keys, networks = attacked(random), of_networks(runs)
    names = [name for name in PLACED if name in networks]
    names += [name for name, own in networks.items() if name not in names and own[0]["group"] != "random"]
    if not names or not keys:
        return ""
    lines = [
        f"| network | depth | skips | accuracy, % | robust at {MIDDLE}/255, % | {' | '.join(ATTACKS[key].title for key in keys)} |",
        rule(5 + len(keys)),
    ]
    columns = {key: [v for v in values(random, "attacks", key).tolist() if math.isfinite(v)] for key in keys}
    for name in names:
        own, facts = networks[name], networks[name][0]["explanations"]
        cells = [MODELS.get(name, name)]
        cells += [f"{facts[fact]:.0f}" if fact in facts else "–" for fact in ("cell/normal/depth", "cell/normal/skips")]
        cells += [_percent([run[key] for run in own]) for key in ("accuracy", "robust_accuracy")]
        cells += [_rank(values(own, "attacks", key)[0], columns[key]) for key in keys]
        lines.append(f"| {' | '.join(cells)} |")
    text = (
        "For each attack: percent of the random cells that are less vulnerable than the network, so 50 is the middle of the cloud and "
        "100 its most vulnerable end. A single training moves within the cloud; manual networks have other sizes, too."
    )
    return "\n".join([*lines, "", text])


def _cells(runs: Sequence[Run], found: Correlations) -> str:
    """ "100 random cells (98 where fewest have both numbers)"."""
    cells, fewest = len(of_networks(runs)), int(found.n.min())
    return f"{cells} random cells" + (f" ({fewest} where fewest have both numbers)" if fewest < cells else "")


def _chance_of_pairs(y: Array) -> float:
    """As `kendall_by_chance`, of the pairs of rows of one matrix: each row is shuffled by itself."""
    rng, found = np.random.default_rng(0), []
    pairs = np.triu_indices(len(y), 1)
    for _ in range(500):
        tau = kendall_table(z := np.stack([rng.permutation(row) for row in y]), z, n_resamples=1).tau[pairs]
        found.append(float(np.nanmax(np.abs(tau))))
    return float(np.quantile(found, 0.95))


def _tau(found: Correlations, i: int, j: int, chance: float) -> str:
    """ "**0.42** [0.30, 0.53]"."""
    if not math.isfinite(found.tau[i, j]):
        return "–"
    text = _signed(found.tau[i, j])
    return f"{f'**{text}**' if abs(found.tau[i, j]) > chance else text} [{_signed(found.low[i, j])}, {_signed(found.high[i, j])}]"


def _given(x: Array, y: Array, size: Array) -> str:
    """Partial τ; the size itself has none."""
    tau = kendall_partial(x, y, size)
    return f"{tau:+.2f}" if math.isfinite(tau) else "–"


def _signed(value: float) -> str:
    """No "-0.00"."""
    return f"{value:.2f}".replace("-0.00", "0.00")


def _one(value: float | None) -> str:
    return "–" if value is None else _signed(value)


def _percent(found: Sequence[Any]) -> str:
    there = [value for value in found if value is not None]
    return f"{100 * fmean(there):.1f}" if there else "–"


def _rank(value: float, others: Sequence[float]) -> str:
    return f"{percentile(value, others):.0f}" if math.isfinite(value) and others else "–"
