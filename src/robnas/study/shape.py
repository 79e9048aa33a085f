"""What the configs of a block are good for: a search, a training, an attack that trains or one that only evaluates, a probe."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from robnas import plugins
from robnas.errors import UserError, require, unknown
from robnas.source import describe
from robnas.study import foreign
from robnas.study.blocks import Kind
from robnas.study.queries import arguments, class_of

GROUPS = {"attacks": "robnas.attacks", "defences": "robnas.defences", "probes": "robnas.probes"}
"""Sections of a config whose blocks are plugins → their entry points."""
SEARCHES, TRAININGS = ("search", "sampledsearch"), ("classifier", "adversarialclassifier", "ownmodel")
"""Our tasks, as the last part of a class path in lower case."""
STANDS = {"search": "a search stands under searches", "train": "a training stands under trainings"}

Contents = Sequence[Mapping[str, Any]]


def check(kind: Kind, contents: Contents, flags: Mapping[str, Any], where: str) -> None:
    """Raises UserError where configs are not of that kind. contents: of configs and overlays."""
    task = _task(contents, flags)
    if kind == "search":
        require(task is not None and task not in TRAININGS, f"{where}: its config searches for nothing; {STANDS['train']}")
    elif kind == "train":
        require(task is not None, f"{where}: its config names no model that it trains; attacks and probes have sections of their own")
        require(task not in SEARCHES, f"{where}: its config is a search; {STANDS['search']}")
    elif kind == "attack":
        require(task not in SEARCHES, f"{where}: its config is a search; {STANDS['search']}")
        require(bool(blocks(contents, flags, "attacks", "defences")), f"{where}: its config has no attack")
    else:
        require(bool(blocks(contents, flags, "probes")), f"{where}: its config has no probe")


def trains(contents: Contents, flags: Mapping[str, Any]) -> bool:
    """Whether an attack trains: its configs describe a model, it begins from another one's weights, or it is of those that train."""
    if any(content.get("model") is not None for content in contents) or {"init_from", "model.init_from"} & set(flags):
        return True
    return any(_needs_a_training(group, class_of(block)) for group, _, block in blocks(contents, flags, "attacks", "defences"))


def blocks(contents: Contents, flags: Mapping[str, Any], *groups: str) -> list[tuple[str, str, Any]]:
    """(group, name, block) of those that are there in the end."""
    found: dict[tuple[str, str], Any] = {}
    for group in groups:
        for content in contents:
            for name, block in (content.get(group) or {}).items():
                found[group, name] = None if block is None else {**(found.get((group, name)) or {}), **block}
        for flag, value in flags.items():
            section, _, name = flag.partition(".")
            if section == group and name and "." not in name:
                found[group, name] = value
    return [(group, name, block) for (group, name), block in found.items() if block is not None]


def known_blocks(names: Iterable[str], values: Mapping[str, Any], contents: Contents, where: str) -> None:
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


def _task(contents: Contents, flags: Mapping[str, Any]) -> str | None:
    """Class of the model, in lower case, without its module; "search" of what has a searcher; None where there is no class."""
    found = None
    for model in [content.get("model") or {} for content in contents] + ([flags["model"]] if flags.get("model") else []):
        name = class_of(model).rpartition(".")[2].lower()
        found = "search" if arguments(model).get("searcher") else name or found
    return found


def _needs_a_training(group: str, name: str) -> bool:
    if "." in name:
        foreign.look_here()
        return describe(":".join(name.rsplit(".", 1))).needs == "the training"
    try:
        return describe(plugins.find(GROUPS[group], name).value).needs == "the training"
    except UserError:  # no such class: the job says so
        return False
