"""How two studies were made: versions, and settings of trainings that differ."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from robnas.report.collected import Collected
from robnas.report.exhibit import Exhibit, Table

MOST = 30
"""Settings that are shown."""
PASSED_OVER = ("seed", "runs", "experiment", "wandb", "network", "class_path", "overwrite", "accelerator", "devices", "num_workers")
"""Last parts of names of settings that say nothing of how a model was trained, or that models of one study differ in."""


def made(first: Collected, second: Collected, a: str, b: str) -> Exhibit:
    """Beside each other."""
    rows = []
    for of in (_versions, _trainings):
        found = of(first), of(second)
        every = list(dict.fromkeys([*found[0], *found[1]]))
        beside = [(name, found[0].get(name, "–"), found[1].get(name, "–")) for name in every]
        rows += [(name, x, y, "differs") for name, x, y in beside if x != y][:MOST]
        rows += [(name, x, y, "") for name, x, y in beside if x == y and of is _versions]
    return Exhibit("made", "", "Made with", CAPTION, table=Table(("what", a, b, ""), tuple(rows)))


def _versions(collected: Collected) -> dict[str, str]:
    counted: dict[str, Counter[str]] = {}
    for found in collected.rows:
        for name, version in {"code": found.row.commit or "unknown", **found.row.versions}.items():
            counted.setdefault(name, Counter())[str(version)] += 1
    return {name: ", ".join(version for version, _ in own.most_common(4)) for name, own in counted.items()}


def _trainings(collected: Collected) -> dict[str, str]:
    """Setting → its values, of the trainings that nothing was done to; those on adversarial images apart."""
    values: dict[str, dict[str, None]] = {}
    seen: set[str] = set()
    for found in collected.select(metric="accuracy", kind="train"):
        if found.treatment or found.place in seen:
            continue
        seen.add(found.place)
        try:
            config = yaml.load(found.run.config, Loader=_LOADER)
        except yaml.YAMLError:
            continue
        for name, value in _flat(config if isinstance(config, dict) else {}):
            of = "adversarial training" if found.run.adversarial else "training"
            values.setdefault(f"{of}: {name}", {})[str(value)] = None
    few = {name: ", ".join(sorted(every)) for name, every in values.items() if len(every) <= 3}
    return dict(sorted(few.items(), key=lambda setting: setting[0].startswith("adversarial")))


def _flat(config: Mapping[Any, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    """Name with dots → value, without paths; of a class its arguments."""
    for key, value in config.items():
        name = f"{before}{key}"
        if str(key).startswith("seed") or str(key).endswith(PASSED_OVER) or key in ("attacks", "probes"):
            continue
        if isinstance(value, Mapping):
            yield from _flat(value, before if key == "init_args" else f"{name}.")
        elif not (isinstance(value, str) and "/" in value):
            yield name, value


_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
CAPTION = "Versions that rows note, of several the most frequent first; and settings of trainings, where they differ."
