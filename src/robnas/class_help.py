"""What a class takes, in words: its docstring, and the arguments that it hands on to the classes above it."""

import inspect
import re
from collections.abc import Iterator, Mapping
from inspect import Parameter
from typing import Any

from robnas.configuration import naming
from robnas.errors import UserError


def show(place: str, name: str | None, config: Mapping[str, Any] | None = None) -> None:
    """`--attacks.help=pgd`, `--model.help=Search`, `--data.help=digits`: what a class takes. Raises UserError for an unknown one.

    Without a name: the class that stands there in the configuration.
    """
    path = tuple(place.split("."))
    group = naming.group_at(path) or naming.group_at((*path, "NAME"))
    if group is None:
        raise UserError(
            f"--{place}.help: no class stands at {place!r}; --attacks.help=pgd, --model.help=Search, --model.searcher.help=darts"
        )
    if name is None:
        name = _class_in(config or {}, path)
    if name is None:
        raise UserError(f"--{place}.help: no config given names a class there; give its name: --{place}.help=NAME")
    class_path = naming.import_path(name, group)
    cls = naming.class_of({"class_path": class_path}, path)
    if isinstance(cls, type):
        print(text(cls))
    else:
        print(f"{class_path}\n\n{inspect.getdoc(cls)}\n\n{inspect.signature(cls)}" if cls else class_path)


def text(cls: type) -> str:
    """Import path, docstring, the arguments of every class that `**arguments` reach, and the signature with all of them."""
    lineage = list(takers(cls))
    own = inspect.getdoc(cls) or ""
    above = [f"Arguments of {base.__name__}:\n{section}" for base in lineage if (section := _arguments(base)) and section not in own]
    parameters = {
        p.name: p.replace(kind=Parameter.KEYWORD_ONLY)
        for base in reversed(lineage)  # the default of the lower class holds
        for p in list(inspect.signature(vars(base)["__init__"]).parameters.values())[1:]
        if p.kind not in (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)
    }
    signature = f"({', '.join(map(str, parameters.values()))})" if len(lineage) > 1 else str(inspect.signature(cls))
    return "\n\n".join([f"{cls.__module__}.{cls.__qualname__}", own, *above, signature])


def takers(cls: type) -> Iterator[type]:
    """The classes whose constructors are reached, from `cls` upwards: the first with no **kwargs is the last."""
    for base in cls.__mro__[:-1]:
        if base.__module__.partition(".")[0] in ("torch", "lightning"):  # what these take is no argument of a config
            return
        if "__init__" in vars(base):
            yield base
            kinds = [p.kind for p in inspect.signature(vars(base)["__init__"]).parameters.values()]
            if Parameter.VAR_KEYWORD not in kinds:
                return


def _arguments(cls: type) -> str:
    """The lines under "Args:" of a class's own docstring."""
    doc = inspect.cleandoc(vars(cls).get("__doc__") or "")
    found = re.search(r"^Args:\n((?:[ \t]+.*\n?|\n(?=[ \t]))+)", doc, re.MULTILINE)
    return found[1].rstrip() if found else ""


def _class_in(config: Mapping[str, Any], path: tuple[str, ...]) -> str | None:
    """The class that stands at a place of a configuration, through the arguments of those above it."""
    node: Any = config
    for key in path:
        node = node.get("init_args", node) if isinstance(node, Mapping) else None
        node = node.get(key) if isinstance(node, Mapping) else None
    return node.get("class_path") if isinstance(node, Mapping) else None
