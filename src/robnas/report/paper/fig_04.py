"""Fig. 4: how many inputs break how many models at once, beside what models that break independently would give."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from robnas.common import Common, Excess, align
from robnas.errors import UserError
from robnas.report import names, style
from robnas.report.collected import Collected
from robnas.report.exhibit import Cell, Entry, Exhibit, Table, percent
from robnas.report.found import Found
from robnas.report.paper import wording
from robnas.report.paper.forests import Setting
from robnas.report.paper.over_seeds import who
from robnas.report.paper.variants import Variant, by_setting, nearest, undefended, variants

EPS = 4 / 255
"""Of Fig. 4."""
GOALS = {"least_likely": "least likely class", "untargeted": "untargeted"}
DRAWS = 1999
"""Of permutations and of resamples."""
Where = tuple[Setting, str]
"""A setting and a goal."""


@dataclass(frozen=True)
class Panel:
    """One family under one attack. every: a seed each, on the inputs that are eligible in all models of all families."""

    where: Where
    family: str
    every: tuple[Common, ...]

    @property
    def title(self) -> str:
        """Of the panel."""
        (dataset, protocol), goal = self.where
        return f"{names.data(dataset)}, {protocol}, {GOALS[goal]}: {names.FAMILIES[self.family].title}"


def exhibit(collected: Collected) -> Exhibit:
    """A histogram for each family; at least two models of a family are needed."""
    key, label, title = "fig-4", "Fig. 4", "Inputs broken in common"
    about = (
        "Test inputs by the number of models that PGD in L∞ breaks on them. Compared are inputs, by the data set's own index, that are "
        "eligible in all models; the authors' code compares places in each model's own list of correct inputs, which are other images in "
        "each model. Open circles: what models with these success rates would give if they broke independently (bars: 95% of "
        "permutations). Excess: how many times the spread of that count is what independent models would have (1: independent; models that "
        "break alike: their number)."
    )
    needed = "rows of PGD on two models of a family: robnas attack RUN RUN… --config pgd/common_paper.yaml"
    used: list[Found] = []
    panels = [panel for goal in GOALS for panel in _panels(collected, goal, used)]
    if not panels:
        return Exhibit(key, label, title, about, missing=needed)
    theirs = wording.beside([], [], False)
    how = {
        (d, f"{p}, {GOALS[g]}"): v for ((d, p), g), v in chosen(collected).items() if any(panel.where == ((d, p), g) for panel in panels)
    }
    seeds = max(len(panel.every) for panel in panels)
    many = f"Bars: mean of {seeds} seeds, dots: each seed." if seeds > 1 else ""
    caption = wording.sentences(about, many, wording.counted(used), wording.settings(how), theirs, wording.reduced(used))
    return Exhibit(key, label, title, caption, draw(panels), table(panels))


def chosen(collected: Collected) -> dict[Where, Variant]:
    """Setting and goal → the rows of PGD with outcomes at the ε nearest to the paper's."""
    rows = [f for f in collected.select(plugin="pgd", metric="asr", norm="linf", kind="attack") if undefended(f) and f.row.outcomes]
    return {
        (setting, goal): variant
        for goal in GOALS
        for setting, variant in nearest(variants(collected, [f for f in rows if f.params.get("goal") == goal]), _from_eps).items()
    }


def _from_eps(found: Found) -> float:
    eps = found.params.get("eps")
    return abs(eps - EPS) if isinstance(eps, int | float) else 1.0


def _panels(collected: Collected, goal: str, used: list[Found]) -> Iterator[Panel]:
    found = {where: variant for where, variant in chosen(collected).items() if where[1] == goal}
    for where in sorted(found, key=lambda where: by_setting(where[0])):
        every = []
        for common, own in aligned(found[where]):
            every.append(common)
            used += own
        families = [family for family in names.FAMILIES if every and every[0].families.count(family) > 1]
        yield from (Panel(where, family, tuple(common.of_family(family) for common in every)) for family in families)


def aligned(variant: Variant) -> Iterator[tuple[Common, list[Found]]]:
    """For each seed what happened to the inputs that all models share, and the rows that it is from."""
    for own in _by_seed(variant.rows):
        if (common := _align(own)) is not None:
            yield common, own


def _by_seed(rows: Sequence[Found]) -> list[list[Found]]:
    """One row a model, for each seed that all models have; where they share none, each model's first."""
    of: dict[Any, dict[int | None, Found]] = {}
    for found in sorted(rows, key=lambda found: found.order):
        of.setdefault(who(found), {}).setdefault(found.seed, found)
    shared = set.intersection(*map(set, of.values())) if of else set()
    if not shared:
        return [[next(iter(own.values())) for own in of.values()]] if of else []
    return [[own[seed] for own in of.values()] for seed in sorted(shared, key=str)]


def _align(rows: Sequence[Found]) -> Common | None:
    """None where the outcomes of inputs are gone, or are not of the same data."""
    there = []
    for found in rows:
        try:
            there.append((found.outcomes(), found))
        except (UserError, OSError, ValueError):
            continue
    try:
        return align([o for o, _ in there], [f.title for _, f in there], [f.family for _, f in there]) if len(there) > 1 else None
    except (UserError, KeyError):
        return None


def draw(panels: Sequence[Panel]) -> Any:
    """A line an attack, a column a family."""
    wheres = list(dict.fromkeys(panel.where for panel in panels))
    families = [family for family in names.FAMILIES if any(panel.family == family for panel in panels)]
    widths = [max(p.every[0].models for p in panels if p.family == family) + 3 for family in families]
    figure, axes = style.grid(
        len(wheres), len(families), 0.4 + 3.0 * len(wheres), min(style.WIDTH, 1 + 0.55 * sum(widths)), width_ratios=widths
    )
    for line, where in zip(axes, wheres, strict=True):
        for at, family in zip(line, families, strict=True):
            panel = next((p for p in panels if p.where == where and p.family == family), None)
            if panel is None:
                at.set_axis_off()
            else:
                _draw(at, panel)
    chance = {"marker": "o", "markerfacecolor": "white", "color": style.INK, "linestyle": "-", "linewidth": 1, "markersize": 5}
    style.key(figure, [], more={"if independent (95% of permutations)": chance})
    return figure


def _draw(axes: Any, panel: Panel) -> None:
    first, colour = panel.every[0], style.look(panel.family).colour
    k = np.arange(first.models + 1)
    seen = np.array([common.seen for common in panel.every])
    expected = np.mean([common.expected for common in panel.every], axis=0)
    band = np.mean([common.band(DRAWS) for common in panel.every], axis=0)
    axes.bar(k, seen.mean(0), width=0.72, color=style.paler(colour, 0.35))
    for seed, shift in zip(seen, style.jitter(len(seen), 0.4), strict=True):
        if len(seen) > 1:
            axes.plot(k + shift, seed, ".", color=colour, markersize=3)
    error = np.clip([expected - band[0], band[1] - expected], 0, None)  # the mean lies outside of a narrow band of whole numbers
    look = {"color": style.INK, "markerfacecolor": "white", "markersize": 5, "capsize": 2, "linewidth": 1}
    axes.errorbar(k, expected, yerr=error, fmt="o", **look)
    axes.set_xticks(k)
    axes.set_xlabel(f"models broken, of {first.models}", fontsize=style.SMALL, color=style.INK)
    axes.set_ylabel(f"inputs, of {first.n:,}", fontsize=style.SMALL, color=style.INK)
    style.title(axes, panel.title)


def table(panels: Sequence[Panel]) -> Table:
    """A row for each seed of each panel."""
    columns = ("family", "seed's place", "models", "inputs", "break none, %", "break all, %", "if independent, %", "excess", "p")
    about = {
        "inputs": "eligible in all models of all families",
        "if independent, %": "break all, of models that break independently at the same rates",
        "excess": "variance of the number of models that an input breaks, over that of independent ones; bootstrap over inputs",
        "p": "one-sided permutation test against independence",
    }
    rows: list[tuple[Entry, ...]] = []
    blocks = []
    for panel in panels:
        for i, common in enumerate(panel.every):
            n = max(1, common.n)
            none, (low, high) = common.at_least(1)
            both, interval = common.at_least(common.models)
            rows.append(
                (
                    names.FAMILIES[panel.family].title,
                    Cell(i + 1, text=str(i + 1)),
                    Cell(common.models, text=str(common.models)),
                    Cell(common.n, text=f"{common.n:,}"),
                    percent(1 - none, 1 - high, 1 - low),
                    percent(both, *interval),
                    percent(float(common.expected[-1]) / n),
                    *_excess(common.excess(DRAWS)),
                )
            )
            blocks.append(panel.title.rpartition(":")[0])
    return Table(columns, tuple(rows), tuple(blocks), about)


def _excess(excess: Excess) -> tuple[Entry, Entry]:
    if excess.ratio is None or excess.ci is None or excess.p is None:
        return "nothing varies", None
    return Cell(excess.ratio, *excess.ci), Cell(excess.p, text="< 0.001" if excess.p < 0.001 else f"{excess.p:.3f}")
