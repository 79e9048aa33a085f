"""A named block of a study file: its configs by protocol, its seeds, and what it is about."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from robnas import plugins
from robnas.configuration import files
from robnas.errors import UserError, require, short
from robnas.study import checks, shape
from robnas.study.blocks import Block, Kind, Model
from robnas.study.contents import content

PROTOCOLS = ("sound", "paper", "artifact", "custom")
_ANY = ("config", "seeds", "protocols", "data", "overlays", "flags", "vary", "exhibits")
_EVALUATED = (*_ANY, "of", "models", "together")
KEYS = {"search": _ANY, "train": (*_ANY, "models"), "attack": (*_EVALUATED, "shift_seed"), "probe": _EVALUATED}
MARKS = ("{run}", "{model}")
"""What stands for the run, and its network, that an attack or a probe is about."""

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
        by_protocol, overlays = self._by_protocol(self._protocols()), self._overlays()
        flags, vary = self._flags("flags"), self._flags("vary")
        values = flags | {flag: values[0] for flag, values in vary.items()}
        contents = {p: [content(config) for config in by_protocol[p]] for p in by_protocol}
        laid_over = [content(config) for config in overlays]
        trains = self.kind in ("search", "train") or any(shape.trains(several, values) for several in contents.values())
        require(
            self.kind != "probe" or not trains, f"{where}: its config trains; a probe during a training is one more config of the training"
        )
        for several in contents.values():
            shape.known_blocks([*flags, *vary], values, [*several, *laid_over], where)
            shape.check(self.kind, [*several, *laid_over], values, where)
        about = self._evaluated(tuple(by_protocol)) if self.kind in ("attack", "probe") else self._trained(tuple(by_protocol))
        together, shift = given.get("together", False), self._shift(trains, about)
        require(isinstance(together, bool), f"{where}.together: {short(together)} is not true or false")
        require(not (together and trains), f"{where}.together: its config trains, one model at a time")
        return Block(
            kind=self.kind,
            name=self.name,
            configs={p: by_protocol[p] for p in about.protocols},
            seeds={p: about.seeds[p] for p in about.protocols},
            data=self._data(about.data),
            models=about.models,
            of=about.of,
            flags=flags,
            vary={flag: tuple(values) for flag, values in vary.items()},
            overlays=overlays,
            exhibits=checks.exhibits(given.get("exhibits", []), f"{where}.exhibits"),
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
            return {p: configs(given[p], f"{where}.config.{p}", some=True) for p in protocols if p in given}
        names = checks.texts(given, f"{where}.config")
        require(bool(names), f"{where}.config: there is none")
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
        require(bool(protocols), f"{where}.config: there is none for {' and '.join(self.defaults['protocols'])}")
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

    def _flags(self, key: str) -> dict[str, Any]:
        marks = MARKS if self.kind in ("attack", "probe") else ()
        return checks.flags(self.given.get(key) or {}, f"{self.where}.{key}", marks, several=key == "vary")

    def _overlays(self) -> tuple[str, ...]:
        if "overlays" in self.given:
            return configs(self.given["overlays"], f"{self.where}.overlays")
        return tuple(self.defaults["overlays"])

    def _data(self, known: tuple[str, ...]) -> tuple[str, ...]:
        """Some of those, by the names that rows have."""
        if "data" not in self.given:
            return known
        names = [plugins.find("robnas.data", name).name for name in checks.texts(self.given["data"], f"{self.where}.data")]
        return checks.names(names, f"{self.where}.data", known, "data set of the study")

    def _shift(self, trains: bool, about: About) -> int:
        shift = checks.whole_number(self.given.get("shift_seed", 0), f"{self.where}.shift_seed")
        require(trains or not shift, f"{self.where}.shift_seed: its config trains nothing, and asks with the seed of the run")
        most = max((seed for seeds in about.seeds.values() for seed in seeds), default=0)
        require(
            most + shift < checks.MOST, f"{self.where}.shift_seed: {most} + {shift} is no seed any more: it is not below {checks.MOST:,}"
        )
        return shift


def configs(given: Any, where: str, some: bool = False) -> tuple[str, ...]:
    """Names of configs that are there. some: at least one."""
    names = checks.texts(given, where)
    require(bool(names) or not some, f"{where}: there is none")
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
        return {protocol: checks.seeds(given[protocol], f"{where}.{protocol}") for protocol in protocols}
    return dict.fromkeys(protocols, checks.seeds(given, where))


def _each(several: Iterable[Iterable[T]]) -> tuple[T, ...]:
    """Everything that is in one of them, once, in order."""
    return tuple(dict.fromkeys(value for values in several for value in values))
