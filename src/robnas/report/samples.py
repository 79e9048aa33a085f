"""What claims are tested on: of each model, data set and protocol a value a seed, taken from rows as claims.yaml says."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from robnas.comparison import means
from robnas.report import names
from robnas.report.collected import Collected
from robnas.report.found import Found
from robnas.report.paper import thefts
from robnas.report.paper.over_seeds import Who, who
from robnas.report.paper.variants import OWN, Variant, nearest, trainings, undefended
from robnas.report.settings import in_order

Setting = tuple[str, str]
"""Data set and protocol."""
HARDENED = frozenset(map(names.plain, ("darts_v1", "darts_i", "darts_ii", "darts_iii")))
"""Variants of DARTS: §5.2's were made to be harder to break, so they are no sample of what search makes."""
UNBOUNDED = 0.5
"""ε from which on every image is allowed: such rows check the attack, not the model."""


@dataclass(frozen=True)
class Measure:
    """See claims.yaml."""

    key: str
    title: str
    plugin: str
    metric: str
    worse: str
    scale: str = "plain"
    matters: float = 0.0
    of: str = ""
    params: Mapping[str, Any] = field(default_factory=dict)
    over: tuple[str, ...] = ()
    free: tuple[str, ...] = ()
    prefer: Mapping[str, Any] = field(default_factory=dict)
    slope: float | None = None
    below: Mapping[str, float] = field(default_factory=dict)
    thefts: str = ""
    when: str = ""

    def read(self, value: float) -> float:
        """A row's value as it is compared: logarithms of ratios, else itself."""
        return (math.log10(value) if value > 0 else math.nan) if self.scale == "log" else value

    @property
    def sign(self) -> int:
        """1 where more is more vulnerable."""
        return 1 if self.worse == "more" else -1


@dataclass(frozen=True)
class Sample:
    """One measure under one data set and protocol.

    values: model in print → a value a seed, as `Measure.read` has it. families: model → its family. rows: that it is from. saturated: why
    there is no room for a difference, "" where there is.
    """

    measure: Measure
    setting: Setting
    values: dict[str, list[float]]
    families: dict[str, str]
    rows: tuple[Found, ...]

    @property
    def oriented(self) -> dict[str, list[float]]:
        """Values so that more is more vulnerable."""
        return {model: [self.measure.sign * v for v in values] for model, values in self.values.items()}

    @property
    def reduced(self) -> str:
        """Why it is not at the paper's size."""
        return next((found.reduced for found in self.rows if found.reduced), "")

    @cached_property
    def saturated(self) -> str:
        """Of success rates alone."""
        mean = list(means(self.values).values())
        if self.measure.metric != "asr" or not mean:
            return ""
        if min(mean) >= 0.99:
            return "nearly every input of every model is broken: no room for a difference"
        return "hardly an input of any model is broken: no room for a difference" if max(mean) <= 0.01 else ""


def samples(collected: Collected, variants: bool = False) -> Samples:
    """All samples of a study, made once."""
    return collected.once(("samples", variants), lambda: Samples(collected, variants))


class Samples:
    """See `samples`. variants: whether DARTS-i, -ii, -iii are models among others, each search one model."""

    def __init__(self, collected: Collected, variants: bool = False) -> None:
        self.collected, self.variants = collected, variants
        self._trained = trainings(collected)
        self._made: dict[str, dict[Setting, Sample]] = {}

    def of(self, measure: Measure) -> dict[Setting, Sample]:
        """Data set and protocol → sample; {} where there are no rows."""
        if measure.key not in self._made:
            chosen = self.collected.once(("measure", measure.key), lambda: self._chosen(measure))
            made = {setting: self._sample(measure, setting, variant.rows) for setting, variant in chosen.items()}
            self._made[measure.key] = {setting: sample for setting, sample in made.items() if sample.values}
        return self._made[measure.key]

    def _chosen(self, measure: Measure) -> dict[Setting, Variant]:
        """Data set and protocol → the rows that are compared."""
        return nearest(self._groups(measure), lambda found: float(any(found.params.get(k) != v for k, v in measure.prefer.items())))

    def _groups(self, measure: Measure) -> list[Variant]:
        """Rows that differ in model, seed and what the mean is taken over."""
        groups: dict[tuple[str, ...], list[Found]] = {}
        for found in filter(undefended, self._rows(measure)):
            told = {k: v for k, v in found.params.items() if k not in OWN and k not in measure.over and k not in measure.free}
            key = (found.dataset, found.row.protocol, in_order(told), self._trained.get(found.place, ""), found.reduced)
            groups.setdefault(key, []).append(found)
        return [Variant(key[0], key[1], key[3].partition(" ")[0], tuple(own)) for key, own in groups.items()]

    def _rows(self, measure: Measure) -> Iterable[Found]:
        rows = [
            found
            for found in self.collected.select(plugin=measure.plugin, metric=measure.metric, params=measure.params)
            if math.isfinite(found.value)
            and _when(found) == (measure.when or "after")
            and not _unbounded(found)
            and all(_number(found.params.get(name)) <= most for name, most in measure.below.items())
        ]
        if measure.thefts:
            pairs = [pair for pair in thefts.of_victims(self.collected, rows) if thefts.same(pair) == (measure.thefts == "same")]
            return self._less_replicas(pairs) if measure.thefts == "other" else [thefts.of_victim(pair) for pair in pairs]
        return rows

    def _less_replicas(self, pairs: Sequence[tuple[Found, Found]]) -> list[Found]:
        """Each theft's value less what its replica adds: "with the replicate model fixed" (§3.2)."""
        of: dict[tuple[Any, ...], list[tuple[Found, Found]]] = {}
        for replica, victim in pairs:
            of.setdefault((replica.params.get("budget"), replica.row.protocol, replica.dataset), []).append((replica, victim))
        out = []
        for own in of.values():
            rest = less_columns([who(victim) for _, victim in own], [who(replica) for replica, _ in own], [r.value for r, _ in own])
            told = [(thefts.of_victim(pair), value) for pair, value in zip(own, rest, strict=True)]
            out += [replace(found, row=replace(found.row, value=value)) for found, value in told if math.isfinite(value)]
        return out

    def _sample(self, measure: Measure, setting: Setting, rows: Sequence[Found]) -> Sample:
        cells: dict[tuple[Who, Any], dict[str, list[Found]]] = {}
        for found in rows:
            model = who(found)
            if self.variants or names.base(model.model) not in HARDENED:
                point = json.dumps([found.params.get(name) for name in measure.over]) if measure.over else "[]"
                cells.setdefault((model, (found.row.search_seed, found.row.train_seed)), {}).setdefault(point, []).append(found)
        counted = Counter(point for points in cells.values() for point in points)
        most = max(counted.values(), default=0)
        shared = [point for point, n in counted.items() if n == most]  # in order: a sum's last digit hangs on it
        values: dict[str, list[float]] = {}
        families: dict[str, str] = {}
        for (model, (search, _)), points in cells.items():
            if points.keys() >= set(shared):
                name = f"{model.title} {search}" if self.variants and search is not None else model.title
                families[name] = names.base(model.model) if self.variants else model.family
                values.setdefault(name, []).append(_value(measure, {point: points[point] for point in shared}))
        return Sample(measure, setting, values, families, tuple(rows))


def less_columns(rows: Sequence[Hashable], columns: Sequence[Hashable], values: Sequence[float]) -> list[float]:
    """Values less their column's effect in the fit of row + column by least squares: no model steals from itself, so that plain means of
    columns would be over other rows each. NaN of all but the largest set of rows that columns tie together: others cannot be compared.
    """
    names_of: list[list[Hashable]] = [list(dict.fromkeys(rows)), list(dict.fromkeys(columns))]
    i, j = np.array([names_of[0].index(row) for row in rows]), np.array([names_of[1].index(column) for column in columns])
    tied = np.arange(len(names_of[0]))  # the first row of the set that each is in
    for column in range(len(names_of[1])):
        together = np.unique(tied[i[j == column]])
        tied[np.isin(tied, together)] = together.min()
    kept = tied[i] == np.bincount(tied[np.unique(i)]).argmax()
    design = np.zeros((len(values), len(names_of[0]) + len(names_of[1])))
    design[np.arange(len(values)), i] = design[np.arange(len(values)), len(names_of[0]) + j] = 1
    y = np.asarray(values, dtype=np.float64)
    effect = np.linalg.lstsq(design[kept], y[kept], rcond=None)[0][len(names_of[0]) :]
    effect -= effect[np.unique(j[kept])].mean()
    out: list[float] = np.where(kept, y - effect[j], np.nan).tolist()
    return out


def _value(measure: Measure, points: Mapping[str, Sequence[Found]]) -> float:
    """Of one training: the mean over points of a sweep, each as it is compared; or the slope over them."""
    each = {point: _mean([measure.read(found.value) for found in found_here]) for point, found_here in points.items()}
    if measure.slope is None:
        return _mean(list(each.values()))
    x = np.array([json.loads(point)[0] for point in each], dtype=np.float64)
    if len(x) < 2:
        return math.nan
    return float(np.polyfit(x, list(each.values()), 1)[0]) * measure.slope


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else math.inf


def _mean(values: Sequence[float]) -> float:
    """NumPy takes its time with the many of which there is one."""
    return float(values[0]) if len(values) == 1 else float(np.mean(values))


def _when(found: Found) -> str:
    """ "before" or "after" training, or "" of an epoch in between."""
    at = str(found.params.get("at", ""))
    return "" if at.startswith("epoch_") else "before" if at == "fit_start" or found.params.get("initialisation") else "after"


def _unbounded(found: Found) -> bool:
    eps = found.params.get("eps")
    return found.row.metric == "asr" and found.row.norm != "l2" and (eps == "inf" or (isinstance(eps, (int, float)) and eps >= UNBOUNDED))
