"""Keys that no class has, and fractions where a number is meant: found before anything is built."""

import inspect
from collections.abc import Callable, Iterable
from typing import Any

from robnas.configuration.merging import NAMED
from robnas.configuration.naming import BLOCK_KEYS, Path, blocks, class_of, dotted
from robnas.errors import UserError, unknown
from robnas.units import fraction


def check(config: dict[str, Any], top: Iterable[str], trainer: Callable[..., Any]) -> dict[str, Any]:
    """The config with its fractions as numbers.

    Args:
        config: merged, its classes as import paths.
        top: the keys that may stand at the top.
        trainer: the class that the `trainer` block describes.

    Raises:
        UserError: a key that does not exist; names the nearest that does.
    """
    allowed = sorted(top)
    for key in config:
        if key not in allowed:
            raise _unknown_key(key, allowed, config, trainer)
    named = [(kind, str(name)) for kind in NAMED if isinstance(config.get(kind), dict) for name in config[kind]]
    for place in (("model",), ("data",), *named):
        _require_class(config, place)
    found: list[tuple[Path, Callable[..., Any], dict[str, Any]]] = []
    if isinstance(config.get("trainer"), dict):
        found.append((("trainer",), trainer, config["trainer"]))
    for path, block in blocks(config):
        for key in block.keys() - BLOCK_KEYS:
            raise UserError(f"{dotted(path)}: the key {key!r} stands beside class_path; arguments stand under init_args")
        arguments = block.get("init_args")
        if not isinstance(arguments, dict | None):
            raise UserError(f"{dotted(path)}: init_args is a mapping, not {arguments!r}")
        if arguments and (cls := class_of(block, path)) is not None:
            found.append((path, cls, arguments))
    for path, cls, arguments in found:
        known, open_ended = parameters(cls)
        for key, value in arguments.items():
            if key not in known and not open_ended:
                raise unknown(f"key of {dotted(path)} ({cls.__name__})", key, known)
            if key in known and "float" in str(known[key]):
                arguments[key] = _number(value)
    return config


def parameters(cls: Callable[..., Any]) -> tuple[dict[str, Any], bool]:
    """Names and annotations of what a class or function takes, through `**kwargs` to a class's bases; and whether it takes any name."""
    inits = [vars(base)["__init__"] for base in cls.__mro__[:-1] if "__init__" in vars(base)] if isinstance(cls, type) else [cls]
    known: dict[str, Any] = {}
    for init in inits:
        taken = inspect.signature(init).parameters.values()
        for p in taken:
            if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL) and p.name != "self":
                known.setdefault(p.name, p.annotation)
        if not any(p.kind is p.VAR_KEYWORD for p in taken):
            return known, False
    return known, not isinstance(cls, type)


def _require_class(config: dict[str, Any], place: tuple[str, ...]) -> None:
    """Arguments without a class are most often those of a block whose name was misspelt."""
    holder = config if len(place) == 1 else config[place[0]]
    block = holder.get(place[-1])
    if isinstance(block, dict) and "class_path" not in block:
        others = [name for name, other in holder.items() if isinstance(other, dict) and "class_path" in other] if len(place) > 1 else []
        near = f"; the blocks are {', '.join(others)}" if others else ""
        run = ", or --init_from RUN its run" if place == ("model",) else ""
        raise UserError(f"{dotted(place)} has arguments but no class{near}: --{dotted(place)}=NAME names one{run}")


def _number(value: Any) -> Any:
    if isinstance(value, list):
        return [_number(item) for item in value]
    number = fraction(value) if isinstance(value, str) else None
    return value if number is None else number


def _unknown_key(key: str, allowed: list[str], config: dict[str, Any], trainer: Callable[..., Any]) -> UserError:
    """A key that exists, but deeper, is the likeliest mistake."""
    places = [("trainer", trainer)] + [(dotted(path), cls) for path, block in blocks(config) if (cls := class_of(block, path)) is not None]
    for place, cls in places:
        if key in parameters(cls)[0]:
            return UserError(f"unknown key {key!r}. Did you mean '{place}.{key}'?")
    return unknown("key", key, allowed)
