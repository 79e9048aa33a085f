"""A named block of a study file: its configs by protocol, its seeds, and what it is about."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from robnas import plugins
from robnas.configuration import files, reading
from robnas.errors import UserError, require, short, unknown
from robnas.study import checks
from robnas.study.blocks import Block, Kind, Model

PROTOCOLS = ("sound", "paper", "artifact", "custom")
_ANY = ("config", "seeds", "protocols", "data", "overlays", "flags", "vary", "exhibits")
_EVALUATED = (*_ANY, "of", "models", "together")
KEYS = {"search": _ANY, "train": (*_ANY, "models"), "attack": (*_EVALUATED, "shift_seed"), "probe": _EVALUATED}
GROUPS = {"attacks": "robnas.attacks", "defences": "robnas.defences", "probes": "robnas.probes"}
"""Sections of a config whose blocks are plugins → their entry points."""

Seeds = dict[str, tuple[int, ...]]
T = TypeVar("T")


@dataclass(frozen=True)
class About:
    """of: trainings; models, data: names; protocols: those that all of it has; seeds: of each."""

    of: tuple[str, ...]
    models: tuple[str, ...]
    data: tuple[str, ...]
    protocols: tuple[str, ...]
    seeds: Seeds


@dataclass(frozen=True)
class Reader:
    """What the file says of a block, and what it says of all.

    Args:
        name, kind: of the block. where: in the file, for complaints. given: its content.
        defaults: protocols, data and overlays of the study.
        models: of the study. before: blocks that stand before this one.
    """

    name: str
    kind: Kind
    where: str
    given: Mapping[str, Any]
    defaults: Mapping[str, Any]
    models: Mapping[str, Model]
    before: Sequence[Block]

    def block(self) -> Block:
        """Raises UserError for the first thing that is wrong with it."""
        given, where = self.given, self.where
        checks.keys(given, KEYS[self.kind], f"key of {where}")
        by_protocol = self._by_protocol(self._protocols())
        contents = {p: [reading.read_file(files.find(config)) for config in by_protocol[p]] for p in by_protocol}
        trains = self.kind in ("search", "train") or any("trainer" in c or "model" in c for several in contents.values() for c in several)
        require(
            self.kind != "probe" or not trains, f"{where}: its config trains; a probe during a training is one more config of the training"
        )
        about = self._evaluated(tuple(by_protocol)) if self.kind in ("attack", "probe") else self._trained(tuple(by_protocol))
        together, shift = given.get("together", False), given.get("shift_seed", 0)
        require(isinstance(together, bool), f"{where}.together: {short(together)} is not true or false")
        require(not (together and trains), f"{where}.together: its config trains, one model at a time")
        require(isinstance(shift, int), f"{where}.shift_seed: {short(shift)} is not a whole number")
        flags, vary = checks.flags(given.get("flags") or {}, f"{where}.flags"), self._vary()
        for p in about.protocols:
            _known_blocks([*flags, *vary], flags | {flag: values[0] for flag, values in vary.items()}, contents[p], where)
        return Block(
            kind=self.kind,
            name=self.name,
            configs={p: by_protocol[p] for p in about.protocols},
            seeds={p: about.seeds[p] for p in about.protocols},
            data=checks.names(given.get("data", about.data), f"{where}.data", about.data, "data set of the study"),
            models=about.models,
            of=about.of,
            flags=flags,
            vary=vary,
            overlays=configs(given["overlays"], f"{where}.overlays") if "overlays" in given else self.defaults["overlays"],
            exhibits=checks.texts(given.get("exhibits", []), f"{where}.exhibits"),
            together=together,
            shift_seed=shift,
            trains=trains,
        )

    def _protocols(self) -> tuple[str, ...]:
        of_study = self.defaults["protocols"]
        return checks.names(self.given.get("protocols", of_study), f"{self.where}.protocols", of_study, "protocol of the study")

    def _by_protocol(self, protocols: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
        """Protocol → configs. Of `pgd.yaml` the protocol `paper` has `pgd/paper.yaml`, unless the study says what it has."""
        given, where = self.given.get("config"), self.where
        require(given is not None, f"{where}: config is missing")
        if isinstance(given, Mapping):
            checks.keys(given, PROTOCOLS, f"protocol of {where}.config")
            missing = [p for p in protocols if p not in given]
            require(not missing or "protocols" not in self.given, f"{where}.config: there is none for {' and '.join(missing)}")
            return {p: configs(given[p], f"{where}.config.{p}") for p in protocols if p in given}
        names = checks.texts(given, where)
        require(bool(names), f"{where}: config is empty")
        out = {}
        for protocol in protocols:
            own = names if protocol in ("sound", "custom") else tuple(f"{n.removesuffix('.yaml')}/{protocol}.yaml" for n in names)
            try:
                out[protocol] = configs(list(own), f"{where}.config")
            except UserError as error:
                hint = "" if own == names else f" protocols: or config: {{{protocol}: …}} says what it has for {protocol}."
                raise UserError(f"{error}{hint}") from error
        return out

    def _trained(self, protocols: tuple[str, ...]) -> About:
        """A search is about no model, a training about all of them unless it names some."""
        asked = self.given.get("models", tuple(self.models))
        models = () if self.kind == "search" else checks.names(asked, f"{self.where}.models", self.models, "model of the study")
        require(self.kind == "search" or bool(models), f"{self.where}: there are no models to train")
        return About((), models, self.defaults["data"], protocols, _seeds(self.given.get("seeds", [0]), protocols, f"{self.where}.seeds"))

    def _evaluated(self, protocols: tuple[str, ...]) -> About:
        """About the first training, unless it says which; models, data, protocols and seeds are at most those trained."""
        where, trainings = self.where, {block.name: block for block in self.before if block.kind == "train"}
        require(bool(trainings), f"{where}: there are no trainings that it could be about")
        of = checks.names(self.given.get("of", next(iter(trainings))), f"{where}.of", trainings, "training")
        named, theirs = " and ".join(of), [trainings[name] for name in of]
        trained = _each(block.models for block in theirs)
        seeds: Seeds = {p: _each(block.seeds.get(p, ()) for block in theirs) for p in protocols}
        kept = tuple(p for p in protocols if seeds[p])
        require(bool(kept), f"{where}: {named} has none of its protocols {', '.join(protocols)}")
        models = checks.names(self.given.get("models", trained), f"{where}.models", trained, f"model of {named}")
        if "seeds" in self.given:
            asked = _seeds(self.given["seeds"], kept, f"{where}.seeds")
            for p in kept:
                for seed in asked[p]:
                    require(seed in seeds[p], f"{where}.seeds: {seed} is no seed of {named}: {', '.join(map(str, seeds[p]))}")
            seeds = asked
        return About(of, models, _each(block.data for block in theirs), kept, seeds)

    def _vary(self) -> dict[str, tuple[Any, ...]]:
        vary = checks.flags(self.given.get("vary") or {}, f"{self.where}.vary")
        for flag, values in vary.items():
            require(isinstance(values, list) and bool(values), f"{self.where}.vary.{flag}: {short(values)} is not a list of values")
        return {flag: tuple(values) for flag, values in vary.items()}


def configs(given: Any, where: str) -> tuple[str, ...]:
    """Names of configs that are there."""
    names = checks.texts(given, where)
    for name in names:
        try:
            files.find(name)
        except UserError as error:
            raise UserError(f"{where}: {error}") from error
    return names


def _seeds(given: Any, protocols: Iterable[str], where: str) -> Seeds:
    """Protocol → seeds; a list is that of every protocol."""
    if isinstance(given, Mapping):
        checks.keys(given, PROTOCOLS, f"protocol of {where}")
        for protocol in protocols:
            require(protocol in given, f"{where}: there are none for {protocol}")
        return {protocol: checks.whole_numbers(given[protocol], f"{where}.{protocol}") for protocol in protocols}
    return dict.fromkeys(protocols, checks.whole_numbers(given, where))


def _known_blocks(names: Iterable[str], values: Mapping[str, Any], contents: list[dict[str, Any]], where: str) -> None:
    """A flag that is about a named block needs the block: from a config, or from a flag that names its class."""
    for name in names:
        group, _, rest = name.partition(".")
        if group not in GROUPS or not rest:
            continue
        block = rest.partition(".")[0]
        there = {key for content in contents for key in content.get(group) or {}}
        there |= {n.split(".")[1] for n in values if n.startswith(f"{group}.") and n.count(".") == 1}
        if block not in there:
            raise unknown(f"block {group}.{block} of a flag of {where}: block", block, there)
        if name.count(".") == 1 and isinstance(values.get(name), str) and "." not in values[name]:
            plugins.find(GROUPS[group], values[name])


def _each(several: Iterable[Iterable[T]]) -> tuple[T, ...]:
    """Everything that is in one of them, once, in order."""
    return tuple(dict.fromkeys(value for values in several for value in values))
