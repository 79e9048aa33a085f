"""Objects that a config and a checkpoint name by their class and its plain arguments: searchers and evaluators."""

from collections.abc import Iterator, Mapping
from importlib import import_module
from inspect import Parameter, signature
from typing import Any, ClassVar, Self

from robnas import plugins
from robnas.errors import UserError, require, short

__all__ = ["Configured", "arguments"]


class Configured:
    """Every argument is plain and kept as an attribute of the same name, so that a checkpoint can say how to make the object again."""

    group: ClassVar[str]
    """Entry points that name classes of this kind."""

    def to_config(self) -> dict[str, Any]:
        """{"class_path": …, "init_args": {…}}, as in a config file; `of` reads it."""
        return {
            "class_path": f"{type(self).__module__}.{type(self).__qualname__}",
            "init_args": {name: getattr(self, name) for name in arguments(type(self))},
        }

    @classmethod
    def of(cls, thing: "Configured | Mapping[str, Any]") -> Self:
        """An object as it is, or made from `to_config`'s plain values. Raises UserError where they name none of this class.

        A checkpoint may come from anywhere, and importing runs code: only robnas's own classes, installed plug-ins, and classes that
        are imported already, as those of the config in use are, may be named.
        """
        noun = plugins.GROUPS[cls.group]
        none = f"is no {noun}" if Configured in cls.__bases__ else f"is not a {cls.__name__} {noun}"
        if not isinstance(thing, Mapping):
            if not isinstance(thing, cls):
                raise UserError(f"{noun}: {type(thing).__name__} {none}")
            return thing
        path = str(thing.get("class_path", ""))
        named = _class_at(path, cls.group)
        require(isinstance(named, type) and issubclass(named, cls), f"{noun}: {path} {none}")
        return named(**thing.get("init_args", {}))  # type: ignore[no-any-return]


def _class_at(path: str, group: str) -> Any:
    """What an import path names. Raises UserError where to import it is not allowed, or not possible."""
    noun = plugins.GROUPS[group]
    module, _, name = path.rpartition(".")
    if module.partition(".")[0] == "robnas":
        try:
            return getattr(import_module(module), name)
        except (ImportError, AttributeError):
            raise UserError(f"{noun}: {short(path)} cannot be imported; is it of another version of robnas?") from None
    if path not in _imported():
        for plugin in plugins.declared(group):
            if plugin.class_name == name and plugin.class_path.partition(".")[0] == path.partition(".")[0]:
                plugin.load()  # it may be declared by a shorter path than its own
    if path not in (known := _imported()):
        raise UserError(f"{noun}: {short(path)} is neither imported nor an installed plug-in; give the config that names it too")
    return known[path]


def _imported() -> dict[str, type]:
    """Import path → every class of this kind that is there already."""
    found: dict[str, type] = {}
    kinds: list[type] = [Configured]
    while kinds:
        kind = kinds.pop()
        found[f"{kind.__module__}.{kind.__qualname__}"] = kind
        kinds += kind.__subclasses__()
    return found


def arguments(cls: type) -> Iterator[str]:
    """Names of the constructor's arguments, through **kwargs into the classes above."""
    for base in cls.__mro__[:-1]:
        if "__init__" in vars(base):
            parameters = list(signature(vars(base)["__init__"]).parameters.values())[1:]
            yield from (p.name for p in parameters if p.kind not in (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD))
            if all(p.kind is not Parameter.VAR_KEYWORD for p in parameters):
                return
