"""What the paper claims, and what is measured of it: claims.yaml, read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

from robnas.report.samples import Measure


@dataclass(frozen=True)
class Claim:
    """See claims.yaml. said: the paper's words; meaning: what they mean where a clause alone does not say it."""

    key: str
    remark: str
    where: str
    said: str
    test: str
    measures: tuple[Measure, ...] = ()
    others: tuple[Measure, ...] = ()
    meaning: str = ""
    more: Mapping[str, Any] = field(default_factory=dict)


@cache
def catalogue() -> tuple[tuple[Claim, ...], Mapping[str, Measure]]:
    """All claims in the paper's order, and all measures by key."""
    content = yaml.safe_load((files("robnas.report") / "claims.yaml").read_text("utf-8"))
    measures = {key: Measure(key, **_tuples(told)) for key, told in content["measures"].items()}
    claims = []
    for told in content["claims"]:
        own = {key: told.pop(key) for key in ("key", "remark", "where", "said", "test")}
        used, others = (tuple(measures[key] for key in told.pop(name, ())) for name in ("measures", "others"))
        claims.append(Claim(**own, measures=used, others=others, meaning=told.pop("meaning", ""), more=told))
    return tuple(claims), measures


def _tuples(told: Mapping[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in told.items()}
