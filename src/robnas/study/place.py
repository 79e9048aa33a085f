"""Where a job of a study comes from, for ids and for jobs that are about it."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

from robnas.study.blocks import Block
from robnas.study.flag_words import text
from robnas.study.plan import PlannedJob


@dataclass(frozen=True)
class Place:
    """Of a job in the study: block, protocol, data set ("": that of its configs), seed (the training's, of a search its own), variation."""

    block: Block
    protocol: str
    data: str
    seed: int
    varied: Mapping[str, Any]

    @property
    def changed(self) -> list[str]:
        """The variation, as ids have it."""
        return [f"{name.rpartition('.')[2]}={text(value)}" for name, value in self.varied.items()]


@dataclass(frozen=True)
class Trained:
    """A training that others are about. job: where another one is the same command, that one; label: of its network, in ids."""

    job: PlannedJob
    at: Place
    model: str
    label: str
    network: str


def variations(block: Block) -> list[dict[str, Any]]:
    """Each combination of the values that a block varies; one, of none, where it varies nothing."""
    return [dict(zip(block.vary, values, strict=True)) for values in product(*block.vary.values())]
