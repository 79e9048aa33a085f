"""Fig. 12: gradient variance (Eq. 14) before and after training, a line a model."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from robnas.report import names, style
from robnas.report.collected import Collected
from robnas.report.exhibit import Entry, Exhibit, Table
from robnas.report.found import Found
from robnas.report.paper.over_seeds import Who, Worth, crowded, over_seeds, settings, titled

KEY, LABEL, TITLE = "fig-12", "Fig. 12", "Gradient variance before and after training"
METRICS = {
    "gradient_variance": "Var(g)",
    "gradient_variance_per_parameter": "Var(g) per parameter",
    "sum_of_deviations": "Σ of deviations (the authors' code)",
}
NEEDS = "rows of the probe gradient_variance: robnas probe RUN… --config gradient_variance.yaml"


class Condition(NamedTuple):
    """When, with which weights, and what batch norms normalise by."""

    after: bool
    initialisation: str
    norms: str

    @property
    def title(self) -> str:
        """In print."""
        if self.after:
            return "after training"
        norms = {"running": "norms idle", "inputs": "norms settled", "batch": "mini-batches"}.get(self.norms, self.norms)
        return f"before: {'Kaiming for all' if self.initialisation == 'kaiming' else 'own weights'}, {norms}"


Panel = tuple[tuple[str, str], Condition, str]
"""Setting, condition, metric."""


def exhibit(collected: Collected) -> Exhibit:
    """Var(g) on a logarithmic axis, a panel a condition; in all, and per parameter."""
    rows = [row for row in collected.select(plugin="gradient_variance", metric=tuple(METRICS)) if condition(row) is not None]
    if not rows:
        return Exhibit(KEY, LABEL, TITLE, "", missing=NEEDS)
    panels: dict[Panel, list[Found]] = {}
    for row in rows:
        if (when := condition(row)) is not None:
            panels.setdefault(((row.dataset, row.row.protocol), when, row.row.metric), []).append(row)
    found = {
        (setting, when, metric): worth
        for setting in settings(rows)
        for when in sorted({w for s, w, _ in panels if s == setting}, reverse=True)
        for metric in METRICS
        if (worth := over_seeds(panels.get((setting, when, metric), ()), logarithmic=True))
    }
    shown = settings(rows)[0]
    return Exhibit(KEY, LABEL, TITLE, _caption(rows, found, shown), _figure(found, shown), _table(found), _missing(found, shown))


def condition(found: Found) -> Condition | None:
    """None of single epochs: those are a course, and no figure of the paper's."""
    at, given = str(found.params.get("at", "")), found.params.get("initialisation")
    if at.startswith("epoch_"):
        return None
    before = given is not None or at == "fit_start"
    return Condition(not before, str(given or "own") if before else "", str(found.params.get("batch_norm", "running")))


def _figure(found: Mapping[Panel, dict[Who, Worth]], shown: tuple[str, str]) -> Any:
    """Of the setting with most models; others stand in the table."""
    own = {(when, metric): worth for (setting, when, metric), worth in found.items() if setting == shown}
    conditions, metrics = list(dict.fromkeys(when for when, _ in own)), [m for m in METRICS if any(metric == m for _, metric in own)]
    models = sorted({name for worth in own.values() for name in worth}, key=lambda name: name.order)
    everyone = {name: Worth(math.nan, None, None, ()) for name in models}
    marks = {panel: crowded({**everyone, **worth}) for panel, worth in own.items()}
    lines, families = max(map(len, marks.values())), {name.family for name in models}
    height = style.forest_height(lines, len(families))
    figure, panels = style.grid(len(metrics), len(conditions), height * len(metrics) + 0.4, sharex="row")
    for row, metric in zip(panels, metrics, strict=True):
        for i, (axes, when) in enumerate(zip(row, conditions, strict=True)):
            axes.set_xscale("log")
            found_here = marks.get((when, metric)) or crowded(everyone)
            style.forest(axes, found_here, METRICS[metric], named=i == 0, middle=lambda values: np.exp(np.mean(np.log(values))))
            style.title(axes, when.title.replace(": ", ":\n"))
    style.key(figure, families, seeds=any(len(mark.seeds) > 1 for own in marks.values() for mark in own))
    return figure


def _table(found: Mapping[Panel, dict[Who, Worth]]) -> Table:
    """A line a model and setting, a column a condition and metric."""
    columns = list(dict.fromkeys((when, metric) for _, when, metric in found))
    rows: list[tuple[Entry, ...]] = []
    blocks = []
    for setting in dict.fromkeys(setting for setting, _, _ in found):
        own = {(when, metric): worth for (s, when, metric), worth in found.items() if s == setting}
        for name in sorted({name for worth in own.values() for name in worth}, key=lambda name: name.order):
            rows.append((name.title, *((w.cell() if (w := own.get(column, {}).get(name)) else None) for column in columns)))
            blocks.append(f"{titled(setting)}: {names.FAMILIES[name.family].title}")
    return Table(("model", *(f"{METRICS[metric]}, {when.title}" for when, metric in columns)), tuple(rows), tuple(blocks))


def _caption(rows: Sequence[Found], found: Mapping[Panel, dict[Who, Worth]], shown: tuple[str, str]) -> str:
    own = [f for f in rows if (f.dataset, f.row.protocol) == shown]
    inputs = sorted({f.row.n for f in own if f.row.n})
    seeds = {len(w.each) for (setting, _, _), worth in found.items() if setting == shown for w in worth.values()}
    n = f"{inputs[0]}" if len(inputs) == 1 else f"{inputs[0]} to {inputs[-1]}" if inputs else "an unknown number of"
    over = "over inputs (Student)" if seeds == {1} else "over training seeds (Student, on logarithms; of one seed over inputs)"
    others = [titled(s) for s in settings(rows)[1:]]
    return (
        f"{titled(shown)}: Eq. 14 over {n} inputs, a line a model; small marks are seeds, bars 95% intervals {over}, dashed lines the "
        "geometric means of the families. The paper says that before training the variance of NAS models is more than two orders of "
        "magnitude smaller. It grows with the scale and the number of the weights, so it is also given per parameter; before training all "
        "depends on how weights are drawn and on what batch norms do, so each way stands in its own panel."
        + (f" In the table also: {'; '.join(others)}." if others else "")
    )


def _missing(found: Mapping[Panel, dict[Who, Worth]], shown: tuple[str, str]) -> str:
    conditions = {when for setting, when, _ in found if setting == shown}
    lacking = [word for word, after in (("before", False), ("after", True)) if not any(when.after == after for when in conditions)]
    families = {name.family for (setting, _, _), worth in found.items() if setting == shown for name in worth}
    said = [f"gradient variance {word} training: configs/gradient_variance.yaml in `fit` or `probe`" for word in lacking]
    said += [
        f"{names.FAMILIES[f].title} models, to compare with"
        for f in ("nas", "manual")
        if f not in families and families & {"nas", "manual"}
    ]
    return "; ".join(said)
