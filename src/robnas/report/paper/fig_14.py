"""Fig. 14: what adversarial training costs and what it is worth, by model."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from robnas.report import names, style
from robnas.report.collected import Collected
from robnas.report.exhibit import Cell, Entry, Exhibit, Table
from robnas.report.found import Found
from robnas.report.paper import wording
from robnas.report.paper.labels import label
from robnas.report.paper.over_seeds import Who, Worth, over_seeds, who
from robnas.report.paper.table_01 import twin
from robnas.report.paper.targeted import from_eps, of_goal
from robnas.report.paper.variants import by_setting, in_words, nearest, variants
from robnas.statistics import student

KEY, LABEL, TITLE = "fig-14", "Fig. 14", "Adversarial training"
TRAIN, ATTACK = "robnas fit --config adversarial.yaml --model.network=NAME", "robnas attack RUN… --config pgd.yaml"
NAMED = 30
"""Points with names; of more only those of the paper."""

Group = tuple[str, str, str]
"""Data set, protocol of the training, method."""


class Outcome(NamedTuple):
    """Of a model, each over seeds: accuracy after, and before; by how much it fell; ASR after, and before."""

    accuracy: Worth
    before: Worth | None = None
    drop: Worth | None = None
    asr: Worth | None = None
    asr_before: Worth | None = None


class Attacked(NamedTuple):
    """outcomes: by model; how: the attack, in words."""

    outcomes: dict[Who, Outcome]
    how: str = ""


def exhibit(collected: Collected) -> Exhibit:
    """Accuracy drop against the success rate of untargeted PGD, a point a model, a panel a method and data set."""
    attacked, hardened = of_trainings(collected)
    if not hardened:
        return Exhibit(KEY, LABEL, TITLE, ABOUT, missing=f"adversarial trainings: {TRAIN}, then {ATTACK}")
    found = {group: own.outcomes for group, own in attacked.items()}
    how = "; ".join(dict.fromkeys(own.how for own in attacked.values() if own.how))
    caption = wording.sentences(ABOUT, wording.counted(hardened), f"PGD: {how}." if how else "", HOW, wording.reduced(hardened))
    figure = _figure(found) if any(map(points, found.values())) else None
    return Exhibit(KEY, LABEL, TITLE, caption, figure, _table(found), _missing(found))


def of_trainings(collected: Collected) -> tuple[dict[Group, Attacked], list[Found]]:
    """What each way of adversarial training came to, and the rows of those trainings."""
    trained = [found for found in collected.select(kind="train", metric="accuracy") if not found.treatment]
    hardened = [found for found in trained if "method" in found.params]
    groups: dict[Group, list[Found]] = {}
    for row in hardened:
        groups.setdefault((row.dataset, row.row.protocol, str(row.params["method"])), []).append(row)
    plain = [found for found in trained if "method" not in found.params and not twin(found.run)]
    rows = of_goal(collected.select(plugin="pgd", metric="asr", norm="linf", kind="attack"), "untargeted")
    order = sorted(groups, key=lambda group: (by_setting(group[:2]), group[2]))
    return {group: _attacked(collected, groups[group], plain, rows) for group in order}, hardened


def _attacked(collected: Collected, hardened: Sequence[Found], plain: Sequence[Found], rows: Sequence[Found]) -> Attacked:
    """Of one method; attacks are those at the ε nearest to the paper's, before as after."""
    after, dataset = over_seeds(hardened), hardened[0].dataset
    before = [found for found in plain if found.dataset == dataset]
    places, earlier_places = {found.place for found in hardened}, {found.place for found in before}
    best = nearest(variants(collected, [f for f in rows if f.place in places]), from_eps)
    chosen = max(best.values(), key=lambda variant: (len(variant.models), -from_eps(variant.rows[0])), default=None)
    there = over_seeds(chosen.rows) if chosen else {}
    how = in_words(dict(chosen.rows[0].params)) if chosen else ""
    same = [f for f in rows if chosen and f.place in earlier_places and f.params == chosen.rows[0].params]
    earlier, asr_before = over_seeds(before), over_seeds(same)
    outcomes = {
        name: Outcome(worth, earlier.get(name), fall(hardened, before, name), there.get(name), asr_before.get(name))
        for name, worth in after.items()
    }
    return Attacked(outcomes, how)


def fall(hardened: Sequence[Found], before: Sequence[Found], name: Who) -> Worth | None:
    """Accuracy before less accuracy after, by seed; None where no seed has both.

    Of several seeds Student's interval; of one that of Newcombe (1998, method 10) from the two Wilson intervals, which is too wide, as both
    are of the same inputs.
    """
    early, late = ({(f.row.search_seed, f.seed): f for f in own if who(f) == name} for own in (before, hardened))
    both = [(early[seed], late[seed]) for seed in late if seed in early]
    if not both:
        return None
    drops = [one.value - two.value for one, two in both]
    value = math.fsum(drops) / len(drops)
    low: float | None
    high: float | None
    if len(drops) > 1:
        low, high = student(drops)
    else:
        ((one, two),) = both
        ends = (one.low, one.high, two.low, two.high)
        if any(end is None for end in ends):
            low = high = None
        else:
            a, b, c, d = (float(end or 0) for end in ends)
            low, high = value - math.hypot(one.value - a, d - two.value), value + math.hypot(b - one.value, two.value - c)
    return Worth(value, low, high, tuple(drops), both[0][1].row.n, both[0][1].reduced)


def points(outcomes: Mapping[Who, Outcome]) -> list[tuple[Who, Worth, Worth]]:
    """(model, drop, ASR after) of those that have both."""
    return [(name, o.drop, o.asr) for name, o in outcomes.items() if o.drop is not None and o.asr is not None]


def _figure(found: Mapping[Group, dict[Who, Outcome]]) -> Any:
    shown = {group: own for group, outcomes in found.items() if (own := points(outcomes))}
    columns = min(2, len(shown))
    lines = -(-len(shown) // columns)
    figure, panels = style.grid(lines, columns, 0.4 + 4.4 * lines, style.WIDTH if columns == 2 else 7.2)
    for axes, (group, own) in zip(panels.flat, shown.items(), strict=False):
        _panel(axes, group, own)
    for axes in panels.flat[len(shown) :]:
        axes.set_axis_off()
    style.key(figure, [name.family for own in shown.values() for name, _, _ in own])
    for axes, own in zip(panels.flat, shown.values(), strict=False):
        named = [point for point in own if point[0].known or len(own) <= NAMED]
        label(axes, {name.title: ((x.value, y.value), style.look(name.family).colour) for name, x, y in named})
    return figure


def _panel(axes: Any, group: Group, own: Sequence[tuple[Who, Worth, Worth]]) -> None:
    for name, x, y in own:
        look = style.look(name.family)
        thin = {"color": style.paler(look.colour, 0.5), "linewidth": 0.8, "zorder": 2}
        if x.low is not None and x.high is not None:
            axes.plot([x.low, x.high], [y.value] * 2, **thin)
        if y.low is not None and y.high is not None:
            axes.plot([x.value] * 2, [y.low, y.high], **thin)
        axes.plot(x.value, y.value, look.marker, color=look.colour, markersize=7, markeredgecolor="white", zorder=4)
    axes.axvline(0, color=style.FAINT, linewidth=0.8, linestyle=":")
    axes.grid(color=style.PALE, linewidth=0.6)
    axes.margins(0.1)
    axes.set_xlabel("accuracy before less accuracy after (lower is better)", fontsize=style.SMALL)
    axes.set_ylabel("ASR of untargeted PGD after (lower is better)", fontsize=style.SMALL)
    style.percent_axis(axes, "x")
    style.percent_axis(axes, "y")
    dataset, protocol, method = group
    style.title(axes, f"{names.data(dataset)}, {protocol}: {method}")


def _table(found: Mapping[Group, dict[Who, Outcome]]) -> Table:
    heads = ("model", "accuracy after, %", "accuracy before, %", "drop, points", "ASR after, %", "ASR before, %")
    rows: list[tuple[Entry, ...]] = []
    blocks = []
    for (dataset, protocol, method), outcomes in found.items():
        for name, o in outcomes.items():
            rows.append((name.title, *(_cell(worth) for worth in o)))
            blocks.append(f"{names.data(dataset)}, {protocol}, {method}: {style.look(name.family).title}")
    return Table(heads, tuple(rows), tuple(blocks), {"drop, points": "accuracy before less accuracy after, by seed"})


def _cell(worth: Worth | None) -> Cell | None:
    return None if worth is None else worth.cell(100, 1)


def _missing(found: Mapping[Group, dict[Who, Outcome]]) -> str:
    every = [(name, o) for outcomes in found.values() for name, o in outcomes.items()]
    lost = {
        f"the same model without adversarial training, from the same seed ({TRAIN.replace('adversarial', 'classify')})": [
            n for n, o in every if o.drop is None
        ],
        f"untargeted PGD after it ({ATTACK})": [n for n, o in every if o.asr is None],
    }
    said = [f"{what} of {wording.some([n.title for n in gone]).replace(';', ',')}" for what, gone in lost.items() if gone]
    families = {name.family for name, _ in every}
    said += [
        f"{style.look(f).title} models, to compare with" for f in ("nas", "manual") if f not in families and families & {"nas", "manual"}
    ]
    return "; ".join(said)


ABOUT = (
    "Accuracy that adversarial training costs, against the success rate that untargeted PGD has left (§5.2): towards the lower left is "
    "better. The paper says that some NAS models do as well as manual ones and others worse in both."
)
HOW = (
    "A drop is of the same model and seed with and without adversarial training. Intervals (95%): over seeds (Student); of one seed over "
    "inputs, of a drop by Newcombe from two Wilson intervals, as if the inputs were not the same."
)
