"""Of each model: by what it may be explained, and how vulnerable it is to each attack; numbers that can be put in order beside each "
"other."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from robnas.report import names
from robnas.report.beyond.titles import EXPLAINED
from robnas.report.collected import Collected
from robnas.report.found import Found
from robnas.report.paper import thefts
from robnas.report.paper.cells_found import of_models
from robnas.report.paper.over_seeds import Who, who
from robnas.report.paper.table_01 import twin
from robnas.report.paper.variants import Variant, undefended, variants
from robnas.report.settings import radius
from robnas.space.facts import CELL_FACTS

METRICS = {"asr": 1, "cad": 1, "auc": 1, "ace": -1, "median_distance": -1}
"""By which vulnerability is measured → −1 where a larger number means less of it. An attack is known by the first that it has."""
FEW = 6
"""Models below which an order says nothing."""


class Measured(NamedTuple):
    """title: in print; what: metric and settings; values: by model, larger: more of it (of an attack: more vulnerable)."""

    title: str
    what: str
    values: Mapping[Who, float]

    @property
    def ordered(self) -> bool:
        """Whether it tells models apart at all."""
        return len({value for value in self.values.values() if not math.isnan(value)}) > 1


def dataset_of(collected: Collected) -> str:
    """The data set on which most models were attacked; "" where none was."""
    models: dict[str, set[Who]] = {}
    for found in collected.select(kind="attack"):
        if found.row.value is not None:
            models.setdefault(found.dataset, set()).add(who(found))
    return max(sorted(models), key=lambda dataset: len(models[dataset]), default="")


def vulnerabilities(collected: Collected, dataset: str) -> list[Measured]:
    """One for each attack and goal, the mean over what it was swept over (ε, rates, budgets). Those that tell no models apart are left
    out.
    """
    return collected.once(("vulnerabilities", dataset), lambda: _vulnerabilities(collected, dataset))


def _vulnerabilities(collected: Collected, dataset: str) -> list[Measured]:
    rows = [f for f in collected.select(kind="attack", metric=tuple(METRICS), dataset=dataset) if names.plain(f.row.plugin) != "knockoff"]
    stolen = thefts.of_victims(collected, collected.select(plugin="knockoff", metric="ace", dataset=dataset))
    rows += [thefts.of_victim(pair) for pair in stolen]
    groups: dict[tuple[str, str], list[Found]] = {}
    for found in filter(undefended, rows):
        groups.setdefault((names.plain(found.row.plugin), str(found.params.get("goal") or "")), []).append(found)
    found_all = [measured for (plugin, goal), own in groups.items() if (measured := _attack(collected, plugin, goal, own)) is not None]
    order = list(names.PLUGINS)
    place = {names.plugin(name): order.index(name) for name in order}
    return sorted((m for m in found_all if m.ordered), key=lambda m: (place.get(m.title.partition(",")[0], len(place)), m.title))


def _attack(collected: Collected, plugin: str, goal: str, rows: Sequence[Found]) -> Measured | None:
    """By the first metric that is there; of an attack without a bound distance, as its success is no news."""
    bounded = [f for f in rows if not (f.row.metric == "asr" and f.params.get("eps") == "inf")]
    metric = next((m for m in METRICS if any(f.row.metric == m for f in bounded)), None)
    if metric is None:
        return None
    kept = swept(collected, [f for f in bounded if f.row.metric == metric])
    if not kept:
        return None
    each = [means(variant.rows) for variant in kept]
    models = set.intersection(*(set(values) for values in each))
    values = {name: METRICS[metric] * fmean(own[name] for own in each) for name in sorted(models, key=lambda name: name.order)}
    title = names.plugin(plugin) + (f", {goal.replace('_', ' ')}" if goal and goal != "untargeted" else "")
    less = "; less is more vulnerable" if METRICS[metric] < 0 else ""
    return Measured(
        title, f"{metric.replace('_', ' ').upper() if len(metric) == 3 else metric.replace('_', ' ')}{_over(kept)}{less}", values
    )


def swept(collected: Collected, rows: Sequence[Found]) -> list[Variant]:
    """Variants of one protocol that (nearly) all models have: of the protocol that most have."""
    found = variants(collected, rows)
    most = max((len(v.models) for v in found), default=0)
    if not most:
        return []
    first = max(found, key=lambda v: (len(v.models), len(v.rows)))
    same = [v for v in found if (v.protocol, v.trained) == (first.protocol, first.trained)]
    return [v for v in same if len(v.models) >= 0.9 * most]


def _over(kept: Sequence[Variant]) -> str:
    """ ", mean over ε of 2/255, 3/255"; of a single one what it was set to."""
    for name, say in (("eps", radius), ("rate", lambda v: f"{v:.0%}"), ("budget", lambda v: f"{v:,} queries")):
        there = sorted({v.rows[0].params[name] for v in kept if isinstance(v.rows[0].params.get(name), int | float)})
        if there:
            word = {"eps": "ε of ", "rate": "", "budget": ""}[name]
            return f", {'mean over ' if len(there) > 1 else ''}{word}{', '.join(map(say, there))}"
    return ""


def explanations(collected: Collected, dataset: str) -> list[Measured]:
    """What probes found, and what there is to say of a model without one: of its cells, its size, its accuracy."""
    trained = [f for f in collected.select(kind="train", dataset=dataset) if not f.treatment and undefended(f) and not twin(f.run)]
    found: dict[str, Mapping[Who, float]] = {}
    for name, genotype in of_models(f for f in trained if f.row.metric == "accuracy").items():
        for kind, cell in genotype.cells.items():
            for fact in CELL_FACTS:
                found.setdefault(f"cell/{kind}/{fact}", {})[name] = float(getattr(cell, fact))  # type: ignore[index]
    for metric in ("parameters", "flops", "accuracy"):
        own = [f for f in trained if f.row.metric == metric and f.row.plugin in ("size", "accuracy")]
        if kept := _largest(collected, own):
            found[f"train/{metric}"] = means(kept.rows)
    probes: dict[str, list[Found]] = {}
    for row in collected.select(kind="probe", dataset=dataset):
        if not row.treatment and undefended_probe(row):
            probes.setdefault(key_of(row), []).append(row)
    for key, rows in probes.items():
        if kept := _largest(collected, rows):
            found[key] = means(kept.rows)
    known = {key.partition("/")[0] for key in EXPLAINED} | {"cells"}  # the probe of that name says of cells what has been said
    titles = EXPLAINED | {key: key.replace("_", " ").replace("/", ": ") for key in sorted(found) if key.partition("/")[0] not in known}
    every = [Measured(title, key, found[key]) for key, title in titles.items() if key in found]
    return [measured for measured in every if measured.ordered]


def _largest(collected: Collected, rows: Sequence[Found]) -> Variant | None:
    return max(variants(collected, rows, over=("hooks",)), key=lambda v: (len(v.models), len(v.rows)), default=None)


def undefended_probe(found: Found) -> bool:
    """Of a plain training, and no single epoch of a course."""
    return undefended(found) and not str(found.params.get("at", "")).startswith("epoch_")


def key_of(found: Found) -> str:
    """Of an explanation: "gradientvariance/gradient_variance, kaiming" where it is of an initialisation, "zerocost/nwot, before"."""
    when = found.params.get("initialisation") or ("before" if found.params.get("at") == "fit_start" else "")
    return f"{names.plain(found.row.plugin)}/{found.row.metric}" + (f", {when}" if when else "")


def means(rows: Iterable[Found]) -> dict[Who, float]:
    """Mean over a model's rows; ∞ for steps and epochs to what a training never reached, later than all that did. NaN is left out."""
    of: dict[Who, list[float]] = {}
    for found in rows:
        missed = found.row.value is None and names.plain(found.row.plugin) == "convergence" and "_to_" in found.row.metric
        value = math.inf if missed else found.value
        if not math.isnan(value):
            of.setdefault(who(found), []).append(value)
    return {name: fmean(values) for name, values in of.items()}


def matrix(measured: Sequence[Measured], models: Sequence[Who]) -> NDArray[np.float64]:
    """[measured, models], NaN where there is none."""
    return np.array([[m.values.get(name, math.nan) for name in models] for m in measured], dtype=np.float64).reshape(
        len(measured), len(models)
    )
