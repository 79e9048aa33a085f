"""What jsonargparse says in ten lines, in one: where, what was given, what is allowed."""

import re
from typing import Any

_TYPES = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "str": "a text",
    "NoneType": "null",
    "dict": "a mapping",
    "list": "a list",
}


def one_line(message: str, config: dict[str, Any]) -> str:
    """A parser's complaint about `config`; what we do not know how to shorten is kept, on one line."""
    if match := re.search(r"""Key "([^"]+)" is required""", message):
        return f"{_short(match[1])} is missing: a config such as darts_iii.yaml gives it, or --{_short(match[1])}=…"
    keys = re.findall(r"""Parser key "([^"]+)":""", message)
    tail = re.split(r"""Parser key "[^"]+":""", message)[-1]
    where = f"{_address(keys, config)}: " if keys else ""
    if match := re.search(r"Expected an? (.+?)\. Got value: (.*)", tail):
        return f"{where}{match[2]!r} is not {_kind(match[1])}"
    if match := re.search(r"Import path (\S+) does not correspond to a subclass of (\S+)", message):
        return f"{where}{match[1]} is no {match[2]}"
    if match := re.search(r"Expected a dot import path string: (\S+)", message):
        return f"{where}there is no class {match[1]!r}; a class of a file my_file.py in this folder is my_file.{match[1]}"
    if match := re.search(r"Option '([^']+)' is not accepted", message):
        return f"{where}unknown key {match[1]!r}"
    if "Given value type: <class 'dict'>" in tail or "Namespace'>" in tail:  # an object: its own complaint says more than its value
        told = [line.strip(" -") for line in tail.partition("Errors:")[2].partition("Given value type:")[0].splitlines()]
        return f"{where}{next((line for line in told if line and 'NoneType' not in line), ' '.join(told))}"
    types, value = re.search(r"Subtypes: \[(.*)\]", tail), re.search(r"Given value: (.*)", tail)
    if types and value:
        kinds = " or ".join(_kind(t) for t in re.split(r", (?=<class|typing\.|\w+(?:\.\w+)+|\w+\[)", types[1]))
        each = dict.fromkeys(kind.strip("'") for kind in kinds.split(" or "))
        return f"{where}{value[1]!r} is not {' or '.join(kind for kind in each if kind != 'null')}"
    return f"{where}{' '.join(tail.split())}"


def _kind(text: str) -> str:
    """How people call a type: "typing.Literal['a', 'b']" → "'a' or 'b'"."""
    if match := re.fullmatch(r"<class '(.+)'>", text.strip()):
        name = match[1].rpartition(".")[2]
        return _TYPES.get(name, f"a {name}")
    if match := re.fullmatch(r"(?:typing\.)?Literal\[(.*)\]", text.strip()):
        return match[1].replace(", ", " or ")
    return re.sub(r"\b(?:\w+\.)+", "", text.strip())


def _address(keys: list[str], config: dict[str, Any]) -> str:
    """Where the innermost key stands: jsonargparse leaves out what lies between."""
    outer, inner = keys[0], keys[-1].rpartition(".")[2]
    if len(keys) == 1 and outer in config:
        return outer
    places = _places(config, inner, ())
    return next((place for place in places if place.startswith(outer)), places[0] if len(places) == 1 else ".".join(dict.fromkeys(keys)))


def _places(value: Any, key: str, path: tuple[str, ...]) -> list[str]:
    if not isinstance(value, dict):
        return []
    here = [_short(".".join((*path, key)))] if key in value else []
    return here + [place for k, item in value.items() for place in _places(item, key, (*path, str(k)))]


def _short(key: str) -> str:
    return key.replace(".init_args", "")
