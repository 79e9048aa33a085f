"""A study file: which networks are found, trained, attacked and probed, how, and how often. Checked as a whole before the first job."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from robnas import plugins
from robnas.configuration import files, reading
from robnas.errors import UserError, require, short, unknown
from robnas.space import published

PROTOCOLS = ("sound", "paper", "artifact", "custom")
SECTIONS = {"searches": "search", "trainings": "train", "attacks": "attack", "probes": "probe"}
"""Key of the study file → what kind of jobs stands there."""
TOP = ("study", "protocols", "data", "overlays", "flags", "threads", "searches", "models", *(s for s in SECTIONS if s != "searches"))
_ANY = ("config", "seeds", "protocols", "data", "overlays", "flags", "vary", "exhibits")
_EVALUATED = (*_ANY, "of", "models", "together")
KEYS = {"search": _ANY, "train": (*_ANY, "models"), "attack": (*_EVALUATED, "shift_seed"), "probe": _EVALUATED}
MODEL_KEYS = ("network", "search", "cell", "deepen", "replace", "flags")
FLAGS = {
    *("model", "data", "trainer", "seed_everything", "experiment", "scale", "protocol", "attacks", "defences", "probes"),
    *("init_from", "overwrite", "ckpt_path"),
}
"""What the flags of a job may begin with; the study itself says --runs and --wandb."""

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


def find(name: str) -> Path:
    """A path from the current folder, else a shipped study by its name. Raises UserError with the nearest one."""
    return files.find(name, files.studies(), "study")


def read(path: Path) -> Study:
    """Raises UserError, one line, for the first thing that is wrong with it: keys, names, configs, flags."""
    return checked(reading.read_file(path), str(path))


def checked(content: Mapping[str, Any], where: str) -> Study:
    """The study that a file's content describes. where: the file's name, for complaints."""
    try:
        return _study(content)
    except UserError as error:
        raise UserError(f"{where}: {error}") from error


def _study(content: Mapping[str, Any]) -> Study:
    _keys(content, TOP, "key")
    name = content.get("study")
    require(isinstance(name, str) and bool(name) and not set(str(name)) & set("/\\ "), f"study: {short(name)} is not a name without blanks")
    protocols = _names(content.get("protocols", ["sound"]), "protocols", PROTOCOLS, "protocol")
    data = _data(content.get("data") or {})
    threads = content.get("threads", 1)
    require(isinstance(threads, int) and threads >= 1, f"threads: {short(threads)} is not a whole number of at least 1")
    searches = content.get("searches") or {}
    models = _models(content.get("models") or {}, searches)
    defaults = {"protocols": protocols, "data": tuple(data), "overlays": _configs(content.get("overlays", []), "overlays")}
    blocks: list[Block] = []
    for section, kind in SECTIONS.items():
        for block, given in _mapping(content.get(section) or {}, section).items():
            where = f"{section}.{block}"
            require(not set(block) & set("/ {}"), f"{where}: a name has no blanks, slashes and braces")
            given = {"config": given} if isinstance(given, str | list) else _mapping(given, where)
            blocks.append(_block(kind, block, given, where, defaults, models, blocks))  # type: ignore[arg-type]
    require(bool(blocks), f"a study needs at least one of {', '.join(SECTIONS)}")
    flags = _flags(content.get("flags") or {}, "flags")
    return Study(str(name), dict(content), protocols, data, flags, threads, models, tuple(blocks))


def _data(given: Any) -> dict[str, dict[str, Any]]:
    named = {str(name): {} for name in given} if isinstance(given, list) else _mapping(given, "data")
    out = {}
    for name, options in named.items():
        plugins.find("robnas.data", name)
        options = _mapping(options or {}, f"data.{name}")
        _keys(options, ("flags",), f"key of data.{name}")
        out[name] = _flags(options.get("flags") or {}, f"data.{name}.flags")
    return out


def _models(given: Any, searches: Mapping[str, Any]) -> dict[str, Model]:
    named = {str(name): {} for name in given} if isinstance(given, list) else _mapping(given, "models")
    require(len(named) == len(given), "models: one is named twice")
    out = {}
    for name, options in named.items():
        where = f"models.{name}"
        require(not set(name) & set("/ {}"), f"{where}: a name has no blanks, slashes and braces; network: takes a file")
        options = {"network": options} if isinstance(options, str) else _mapping(options or {}, where)
        _keys(options, MODEL_KEYS, f"key of {where}")
        kinds = [key for key in ("network", "search", "cell") if options.get(key) is not None]
        require(len(kinds) < 2, f"{where}: {' and '.join(kinds)}: a network is one of them")
        require(
            "cell" in kinds or not {"deepen", "replace"} & set(options), f"{where}: deepen and replace change a cell, and none is named"
        )
        flags = _flags(options.get("flags") or {}, f"{where}.flags")
        if "search" in kinds:
            if options["search"] not in searches:
                raise unknown(f"search of {where}", options["search"], searches)
            out[name] = Model(name, search=str(options["search"]), flags=flags)
        elif "cell" in kinds:
            published.find(str(options["cell"]))
            replace = options.get("replace") or {}
            swaps = tuple(f"{old}={new}" for old, new in _mapping(replace, f"{where}.replace").items())
            out[name] = Model(name, cell=str(options["cell"]), deepen=bool(options.get("deepen")), replace=swaps, flags=flags)
        else:
            out[name] = Model(name, network=_network(str(options.get("network", name)), where), flags=flags)
    return out


def _network(network: str, where: str) -> str:
    """Raises UserError where nothing is called so; the file of a network is looked for, not read."""
    known = [*published.names(), *plugins.names("robnas.models")]
    if network not in known and not Path(network).exists() and "(" not in network:
        raise unknown(f"network of {where}", network, known)
    return network


def _block(
    kind: Kind,
    name: str,
    given: Mapping[str, Any],
    where: str,
    defaults: Mapping[str, Any],
    models: Mapping[str, Model],
    before: list[Block],
) -> Block:
    _keys(given, KEYS[kind], f"key of {where}")
    protocols = _names(given.get("protocols", defaults["protocols"]), f"{where}.protocols", defaults["protocols"], "protocol of the study")
    configs = _by_protocol(given.get("config"), protocols, where)
    overlays = _configs(given["overlays"], f"{where}.overlays") if "overlays" in given else defaults["overlays"]
    if isinstance(given.get("config"), Mapping) and "protocols" not in given:
        protocols = tuple(p for p in protocols if p in configs)
    contents = {p: [reading.read_file(files.find(config)) for config in configs[p]] for p in protocols}
    trains = kind in ("search", "train") or any("trainer" in content or "model" in content for c in contents.values() for content in c)
    if kind == "probe":
        require(not trains, f"{where}: its config trains; a probe during a training is one more config of the training")
    trainings = {block.name: block for block in before if block.kind == "train"}
    of: tuple[str, ...] = ()
    if kind in ("attack", "probe"):
        require(bool(trainings), f"{where}: there are no trainings that it could be about")
        first = next(iter(trainings))
        asked = given.get("of", first)
        of = _names([asked] if isinstance(asked, str) else asked, f"{where}.of", trainings, "training")
        theirs = tuple(dict.fromkeys(model for training in of for model in trainings[training].models))
        everything = {p: tuple(dict.fromkeys(s for t in of for s in trainings[t].seeds.get(p, ()))) for p in protocols}
        chosen = _names(given.get("models", theirs), f"{where}.models", theirs, f"model of {' and '.join(of)}")
        data = tuple(dict.fromkeys(d for training in of for d in trainings[training].data))
        kept = [p for p in protocols if everything[p]]
        require(bool(kept), f"{where}: {' and '.join(of)} has none of its protocols {', '.join(protocols)}")
        protocols = tuple(kept)
        seeds = _seeds(given["seeds"], protocols, f"{where}.seeds") if "seeds" in given else everything
        for p in protocols:
            for seed in seeds[p]:
                require(
                    seed in everything[p], f"{where}.seeds: {seed} is no seed of {' and '.join(of)}: {', '.join(map(str, everything[p]))}"
                )
    else:
        chosen = () if kind == "search" else _names(given.get("models", tuple(models)), f"{where}.models", models, "model of the study")
        require(kind == "search" or bool(chosen), f"{where}: there are no models to train")
        data, seeds = defaults["data"], _seeds(given.get("seeds", [0]), protocols, f"{where}.seeds")
    together, shift = given.get("together", False), given.get("shift_seed", 0)
    require(isinstance(together, bool), f"{where}.together: {short(together)} is not true or false")
    require(not (together and trains), f"{where}.together: its config trains, one model at a time")
    require(isinstance(shift, int), f"{where}.shift_seed: {short(shift)} is not a whole number")
    vary = {}
    for flag, values in _flags(given.get("vary") or {}, f"{where}.vary").items():
        require(isinstance(values, list) and bool(values), f"{where}.vary.{flag}: {short(values)} is not a list of values")
        vary[flag] = tuple(values)
    flags = _flags(given.get("flags") or {}, f"{where}.flags")
    for p in protocols:
        _known_blocks([*flags, *vary], flags | {flag: values[0] for flag, values in vary.items()}, contents[p], where)
    return Block(
        kind=kind,
        name=name,
        configs={p: configs[p] for p in protocols},
        seeds={p: seeds[p] for p in protocols},
        data=_names(given.get("data", data), f"{where}.data", data, "data set of the study"),
        models=chosen,
        of=of,
        flags=flags,
        vary=vary,
        overlays=overlays,
        exhibits=_texts(given.get("exhibits", []), f"{where}.exhibits"),
        together=together,
        shift_seed=shift,
        trains=trains,
    )


def _by_protocol(given: Any, protocols: Iterable[str], where: str) -> dict[str, tuple[str, ...]]:
    """Protocol → configs. Of `pgd.yaml` the protocol `paper` has `pgd/paper.yaml`, unless the study says what it has."""
    require(given is not None, f"{where}: config is missing")
    if isinstance(given, Mapping):
        _keys(given, PROTOCOLS, f"protocol of {where}.config")
        return {protocol: _configs(given[protocol], f"{where}.config.{protocol}") for protocol in protocols if protocol in given}
    names = _texts(given, f"{where}.config")
    require(bool(names), f"{where}: config is empty")
    out = {}
    for protocol in protocols:
        own = names if protocol in ("sound", "custom") else tuple(f"{n.removesuffix('.yaml')}/{protocol}.yaml" for n in names)
        try:
            out[protocol] = _configs(list(own), f"{where}.config")
        except UserError as error:
            hint = "" if own == names else f" protocols: or config: {{{protocol}: …}} says what it has for {protocol}."
            raise UserError(f"{error}{hint}") from error
    return out


def _configs(given: Any, where: str) -> tuple[str, ...]:
    names = _texts(given, where)
    for name in names:
        try:
            files.find(name)
        except UserError as error:
            raise UserError(f"{where}: {error}") from error
    return names


def _seeds(given: Any, protocols: Iterable[str], where: str) -> dict[str, tuple[int, ...]]:
    """Protocol → seeds; a list is that of every protocol."""
    if isinstance(given, Mapping):
        _keys(given, PROTOCOLS, f"protocol of {where}")
        for protocol in protocols:
            require(protocol in given, f"{where}: there are none for {protocol}")
        return {protocol: _whole(given[protocol], f"{where}.{protocol}") for protocol in protocols}
    return dict.fromkeys(protocols, _whole(given, where))


def _whole(given: Any, where: str) -> tuple[int, ...]:
    good = isinstance(given, list) and bool(given) and all(isinstance(seed, int) and not isinstance(seed, bool) for seed in given)
    require(good, f"{where}: {short(given)} is not a list of whole numbers")
    require(len(set(given)) == len(given), f"{where}: {short(given)} names a seed twice")
    return tuple(given)


def _flags(given: Any, where: str) -> dict[str, Any]:
    flags = {name.removeprefix("--"): value for name, value in _mapping(given, where).items()}
    for name in flags:
        if name.partition(".")[0] not in FLAGS:
            raise unknown(f"flag of {where}", name, FLAGS)
    return flags


def _known_blocks(names: Iterable[str], values: Mapping[str, Any], contents: list[dict[str, Any]], where: str) -> None:
    """A flag that is about a named block needs the block: from a config, or from a flag that names its class."""
    groups = {"attacks": "robnas.attacks", "defences": "robnas.defences", "probes": "robnas.probes"}
    for name in names:
        group, _, rest = name.partition(".")
        if group not in groups or not rest:
            continue
        block = rest.partition(".")[0]
        there = {key for content in contents for key in content.get(group) or {}}
        there |= {n.split(".")[1] for n in values if n.startswith(f"{group}.") and n.count(".") == 1}
        if block not in there:
            raise unknown(f"block {group}.{block} of a flag of {where}: block", block, there)
        if name.count(".") == 1 and isinstance(values.get(name), str) and "." not in values[name]:
            plugins.find(groups[group], values[name])


def _names(given: Any, where: str, allowed: Iterable[str], kind: str) -> tuple[str, ...]:
    names = _texts(given, where)
    for name in names:
        if name not in set(allowed):
            raise unknown(kind, name, allowed)
    require(len(set(names)) == len(names), f"{where}: one is named twice")
    return names


def _texts(given: Any, where: str) -> tuple[str, ...]:
    given = [given] if isinstance(given, str) else given
    require(
        isinstance(given, list | tuple) and all(isinstance(text, str) for text in given), f"{where}: {short(given)} is not a list of names"
    )
    return tuple(given)


def _mapping(given: Any, where: str) -> dict[str, Any]:
    require(isinstance(given, Mapping) and all(isinstance(key, str) for key in given), f"{where}: {short(given)} is not a mapping of names")
    return dict(given)


def _keys(given: Mapping[str, Any], allowed: Iterable[str], kind: str) -> None:
    for key in given:
        if key not in set(allowed):
            raise unknown(kind, key, allowed)
