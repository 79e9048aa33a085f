"""YAML as configs write it: safe, without duplicate keys, with 1e-3 a number and off a word."""

import re
from pathlib import Path
from typing import Any

import yaml

from robnas.errors import UserError

_FLOAT = r"^[-+]?(?:\d[\d_]*\.[\d_]*(?:e[-+]?\d+)?|\d[\d_]*e[-+]?\d+|\.\d[\d_]*(?:e[-+]?\d+)?|\.inf)$|^\.nan$"


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Departs from YAML 1.1 where it surprises: on, off, yes and no stay words, 1e-3 is a number, dates are words."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                if key.value in seen:
                    raise yaml.constructor.ConstructorError(None, None, f"the key {key.value!r} is given twice", key.start_mark)
                seen.add(key.value)
        return super().construct_mapping(node, deep)  # type: ignore[no-any-return]


_CHANGED = ("tag:yaml.org,2002:bool", "tag:yaml.org,2002:float", "tag:yaml.org,2002:timestamp")
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag not in _CHANGED]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"^(?:true|false)$", re.IGNORECASE), list("tTfF"))
_Loader.add_implicit_resolver("tag:yaml.org,2002:float", re.compile(_FLOAT, re.IGNORECASE), list("-+0123456789."))


def read_text(text: str, where: str) -> Any:
    """The value of a YAML text. Raises UserError, one line that names `where` and the line number."""
    try:
        return yaml.load(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f", line {mark.line + 1}" if mark else ""
        raise UserError(f"{where}{line}: {error.problem or error.context}") from error
    except yaml.YAMLError as error:
        raise UserError(f"{where}: {' '.join(str(error).split())}") from error
    except ValueError as error:  # a whole number of thousands of digits
        raise UserError(f"{where}: a value that cannot be read: {' '.join(str(error).split())}") from error


def read_file(path: Path) -> dict[str, Any]:
    """A config file's content; an empty one is an empty config. Raises UserError where it is no mapping or no text."""
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read: {error}") from error
    content = read_text(text, str(path))
    if content is None:
        return {}
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise UserError(f"{path}: a config is a mapping such as 'trainer: {{max_epochs: 3}}', this is {type(content).__name__}")
    return content


def read_value(text: str) -> Any:
    """A flag's value: "3" → 3, "[1, 2]" → a list, "8/255" and "off" stay text; what is no YAML is text too."""
    try:
        return yaml.load(text, Loader=_Loader)
    except (yaml.YAMLError, ValueError):  # a whole number of thousands of digits is a ValueError
        return text
