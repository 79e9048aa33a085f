"""Rows of one experiment as it was made in several ways: what may be put in one panel, and which of several is nearest to the paper's."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from robnas.report import names
from robnas.report.collected import Collected
from robnas.report.found import Found
from robnas.report.paper.over_seeds import Who, who
from robnas.report.settings import in_order, radius

PROTOCOLS = ("paper", "artifact", "sound", "custom")
"""In the order of panels."""
OWN = frozenset({"clean", "victim", "seed", "pictures", "watched", "shadows", "inputs_seed"})
"""Arguments that say which run is meant, not how it was attacked: they differ from model to model."""
PIECES = frozenset({"after", "control"})
"""Arguments of rows that are parts of another measurement: of an ensemble, of a masking check. A transfer, too, names its `target`."""

Near = Callable[[Found], float]
"""How far a row's settings are from the paper's; the smallest is drawn."""
Key = tuple[str, str, str, str, str]


@dataclass(frozen=True)
class Variant:
    """Rows that differ in models and seeds alone, and in what the figure is over.

    trained: protocol of the victims' training, "" where it is not known.
    """

    dataset: str
    protocol: str
    trained: str
    rows: tuple[Found, ...]

    @property
    def models(self) -> set[Who]:
        """That have a number."""
        return {who(found) for found in self.rows if found.row.value is not None}


def undefended(found: Found) -> bool:
    """Whether the training was plain (of an attack on training: attacked once, and no more), and the row a measurement of its own."""
    treatments = found.treatment.split(" + ") if found.treatment else []
    training = found.row.access == "training"  # of a backdoor, `target` is a class
    part = not PIECES.isdisjoint(found.params) or (not training and "target" in found.params)
    return len(treatments) <= training and not part and not found.run.adversarial


def variants(collected: Collected, rows: Iterable[Found], over: Collection[str] = ()) -> list[Variant]:
    """Groups of rows, in order of appearance. over: arguments that may differ within a group."""
    trained = trainings(collected)
    groups: dict[Key, list[Found]] = {}
    for found in rows:
        params = {k: v for k, v in found.params.items() if k not in OWN and k not in over}
        settings = in_order(params)
        groups.setdefault((found.dataset, found.row.protocol, settings, trained.get(found.place, ""), found.reduced), []).append(found)
    return [Variant(key[0], key[1], key[3].partition(" ")[0], tuple(own)) for key, own in groups.items()]


def trainings(collected: Collected) -> dict[str, str]:
    """Place of a run folder → protocol and data of its training; models that were trained in another way are another sample."""

    def make() -> dict[str, str]:
        rows = collected.select(metric="accuracy", kind="train")
        return {found.place: f"{found.row.protocol} {in_order(found.params)}" for found in rows}

    return collected.once("trainings", make)


def nearest(found: Sequence[Variant], near: Near = lambda row: 0.0) -> dict[tuple[str, str], Variant]:
    """(data set, protocol) → the variant with most models; of several, whose victims were trained by the same protocol, then the nearest
    to the paper's, then with most rows.
    """
    best: dict[tuple[str, str], Variant] = {}
    for variant in sorted(found, key=lambda v: _rank(v, near)):
        best.setdefault((variant.dataset, variant.protocol), variant)
    return {setting: best[setting] for setting in sorted(best, key=by_setting)}


def _rank(variant: Variant, near: Near) -> tuple[float, ...]:
    far = min(near(found) for found in variant.rows)
    return (-len(variant.models), variant.trained != variant.protocol, far, -len(variant.rows))


def by_setting(setting: tuple[str, str]) -> tuple[int, str, int]:
    """To sort (data set, protocol) by: the paper's data sets in its order, then others; likewise protocols."""
    dataset, protocol = setting
    place = names.PAPERS_DATA.index(dataset) if dataset in names.PAPERS_DATA else len(names.PAPERS_DATA)
    return place, dataset, PROTOCOLS.index(protocol) if protocol in PROTOCOLS else len(PROTOCOLS)


def printed(collected: Collected, metric: str, where: str) -> dict[str, dict[str, float]]:
    """Data set → model in print → what a table of the paper says. where: "Table 1"."""
    found: dict[str, dict[str, float]] = {}
    for one in collected.published:
        if one.model and one.metric == metric and one.where == where:
            found.setdefault(one.dataset, {})[names.model(one.model)] = one.values[0]
    return found


def in_words(params: dict[str, Any]) -> str:
    """How an attack was made, as captions say it: "ε = 8/255, 7 steps of 2/255, 5 restarts"."""
    said = []
    pixels = "eps" in params and params.get("norm") != "l2"
    if pixels:
        said.append(f"ε = {radius(params['eps'])}")
    elif "eps" in params:
        said.append(f"ε = {params['eps']}")
    if "steps" in params:
        size = params.get("step_size")
        step = f" of {radius(size) if pixels else f'{size:.3g}'}" if isinstance(size, int | float) else ""
        said.append(f"{params['steps']} step{'s' * (params['steps'] != 1)}{step}")
    if isinstance(params.get("n_restarts"), int) and params["n_restarts"] > 1:
        said.append(f"{params['n_restarts']} restarts")
    if "n_queries" in params:
        said.append(f"{params['n_queries']} queries a step")
    if isinstance(members := params.get("members"), float) and members < 1:
        said.append(f"{members:.3g} of the training images")
    if params.get("confidence") and not isinstance(params["confidence"], list):
        said.append(f"success: confidence above {params['confidence']}")
    if params.get("only_correct") is False:
        said.append("right and wrong inputs alike")
    for name, text in _WORDS.items():
        value = params.get(name)
        if isinstance(value, int | float) or (isinstance(value, str) and ":" not in text.partition("}")[0]):
            said.append(text.format(value))
    return ", ".join(said)


_WORDS = {
    "rate": "{:.0%} flipped",
    "n_neurons": "{} target neurons",
    "share": "share {:.3g} stamped",
    "budget": "{:,} queries",
    "strategy": "{} queries",
    "answers": "answers: {}s",
    "max_evaluations": "at most {:,} evaluations",
}
