"""Columns of the matrix: an attack with its settings and what is measured of it; of a sweep the setting in the middle, for each goal."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from robnas.report import names, settings

MOST = 4
"""Settings of one attack that the matrix shows; of a sweep over more it shows that in the middle for each goal; a figure has them all."""


class Measure(NamedTuple):
    """What is shown of an attack. unit: "%" for proportions; worse: in which direction the model is easier to break; about: in a line."""

    title: str
    unit: str
    worse: str
    about: str


MEASURES = {
    "asr": Measure(
        "ASR", "%", "↑", "attack success rate: of the inputs that are attacked, how many the attack breaks; higher: easier to break"
    ),
    "auc": Measure("AUC", "", "↑", "how well members of the training set are told from others; 0.5 is chance; higher: easier to tell"),
    "cad": Measure("CAD", "%", "↑", "clean accuracy drop: what the attack on the training costs, in points; higher: easier to harm"),
    "ace": Measure("ACE", "", "↓", "cross entropy of victim and replica on test images; lower: better stolen"),
    "median_distance": Measure(
        "distance", "", "↓", "median distance to the nearest adversarial image that was found; lower: easier to break"
    ),
}
"""Metric of a row → how it is shown; of an attack that has several, the first here that it has (a backdoor: asr and cad)."""


@dataclass(frozen=True)
class Column:
    """An attack with its settings and what is measured of it."""

    plugin: str
    setting: str
    metric: str

    @property
    def measure(self) -> Measure:
        """How it is shown."""
        return MEASURES.get(self.metric, Measure(self.metric.replace("_", " "), "", "", ""))


def choose(count: Mapping[Column, Collection[object]]) -> tuple[list[Column], dict[str, int]]:
    """The columns, attack by attack; of an attack with more than MOST settings one for each goal, and how many there are.

    count: column → the models that have it and were trained plainly.
    """
    plugins: dict[str, dict[str, None]] = {}
    for column in count:
        plugins.setdefault(column.plugin, {})[column.setting] = None
    chosen: list[Column] = []
    more: dict[str, int] = {}
    for plugin in sorted(plugins, key=_place):
        there = [column for column in count if column.plugin == plugin]
        models = {s: max(len(count[column]) for column in there if column.setting == s) for s in plugins[plugin]}
        kept = sorted(models, key=lambda s: (settings.size(s), s))
        if len(kept) > MOST:
            more[plugin] = len(kept)
            goals = sorted({settings.goal(s) for s in kept}, key=settings.by_goal)
            kept = [middle([s for s in kept if settings.goal(s) == goal], models) for goal in goals]
        order = {metric: i for i, metric in enumerate(MEASURES)}
        chosen += [c for s in kept for c in sorted(there, key=lambda c: order.get(c.metric, 9)) if c.setting == s]
    return chosen, more


def by_size(columns: Iterable[Column]) -> list[Column]:
    """In the order of the matrix: attack by attack, by goal, by size."""
    order = {metric: i for i, metric in enumerate(MEASURES)}

    def place(column: Column) -> tuple[object, ...]:
        goal = settings.by_goal(settings.goal(column.setting))
        return _place(column.plugin), goal, settings.size(column.setting), column.setting, order.get(column.metric, 9)

    return sorted(columns, key=place)


def middle(ordered: Sequence[str], models: Mapping[str, int]) -> str:
    """The setting of the middle size (ε, rate, budget) among those that most models have; of several of that size the first.

    ordered: settings, by size. models: setting → how many models have it.
    """
    complete = [s for s in ordered if models[s] == max(models[other] for other in ordered)]
    sizes = list(dict.fromkeys(map(settings.size, complete)))
    return next(s for s in complete if settings.size(s) == sizes[len(sizes) // 2])


def head(columns: Sequence[Column], of: Mapping[str, int]) -> dict[str, str]:
    """Name of each column → on hover. of: attack → settings, of those that are shown by the one in the middle."""
    out: dict[str, str] = {}
    own: dict[str, dict[str, None]] = {}
    for column in columns:
        own.setdefault(column.plugin, {})[column.setting] = None
    labels = {plugin: settings.labels(every) for plugin, every in own.items()}
    for column in columns:
        label = labels[column.plugin][column.setting]
        measure = column.measure
        unit = " ".join(filter(None, (measure.title, measure.unit, measure.worse)))
        name = f"{names.plugin(column.plugin)}{f' ({label})' if label else ''}, {unit}"
        while name in out:
            name += "′"
        among = f" (of {of[column.plugin]} settings)" if column.plugin in of else ""
        out[name.strip()] = f"{names.plugin(column.plugin)}, {label or 'as configured'}{among}: {measure.about or column.metric}"
    return out


def _place(plugin: str) -> tuple[int, str]:
    order = list(names.PLUGINS)
    return (order.index(names.plain(plugin)) if names.plain(plugin) in order else len(order)), plugin
