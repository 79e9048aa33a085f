"""What a study is made of: its models, and its blocks of searches, trainings, attacks and probes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from robnas import plugins

Kind = Literal["search", "train", "attack", "probe"]


@dataclass(frozen=True)
class Model:
    """A network of the study: `network` as `--model.network` takes it, or the cell of a `search`, or a known `cell`, changed (§5.2)."""

    name: str
    network: str = ""
    search: str | None = None
    cell: str | None = None
    deepen: bool = False
    replace: tuple[str, ...] = ()
    flags: Mapping[str, Any] = field(default_factory=dict)

    @property
    def family(self) -> str:
        """As rows have it."""
        found = {plugin.name: plugin for plugin in plugins.declared("robnas.models")}.get(self.network)
        return "nas" if found is None else "manual" if found.built_in else "custom"


@dataclass(frozen=True)
class Block:
    """A named block of the file.

    Args:
        kind, name: where it stands.
        configs: protocol → config files, the later over the earlier; only protocols that it takes part in.
        seeds: protocol → seeds: of a search or training its own, else those of the trainings that it is about.
        data: names of data sets; empty: what configs and overlays say.
        models: names; of a search none.
        of: trainings that it is about.
        flags: dotted name → value. vary: dotted name → values, a job for each combination.
        overlays: configs that are laid over all others.
        exhibits: tables and figures of the paper that it is for.
        together: one job for all models of a seed.
        shift_seed: added to the seed of the training that is attacked.
        trains: an attack on a training: `fit`, not `attack`.
    """

    kind: Kind
    name: str
    configs: Mapping[str, tuple[str, ...]]
    seeds: Mapping[str, tuple[int, ...]]
    data: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    of: tuple[str, ...] = ()
    flags: Mapping[str, Any] = field(default_factory=dict)
    vary: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    overlays: tuple[str, ...] = ()
    exhibits: tuple[str, ...] = ()
    together: bool = False
    shift_seed: int = 0
    trains: bool = False

    def layers(self, protocol: str) -> tuple[str, ...]:
        """All of its configs under a protocol, overlays last."""
        return (*self.configs[protocol], *self.overlays)


@dataclass(frozen=True)
class Study:
    """A study file, read and checked. threads: of each job; data: name → flags; flags: of trainings and of attacks
    that train. source: what the file says, as it was read.
    """

    name: str
    source: Mapping[str, Any]
    protocols: tuple[str, ...]
    data: Mapping[str, Mapping[str, Any]]
    flags: Mapping[str, Any]
    threads: int
    models: Mapping[str, Model]
    blocks: tuple[Block, ...]

    def of_kind(self, *kinds: str) -> list[Block]:
        """In the order of the file."""
        return [block for block in self.blocks if block.kind in kinds]

    def block(self, kind: str, name: str) -> Block:
        """The one of that name."""
        return next(block for block in self.blocks if (block.kind, block.name) == (kind, name))
