"""What config.json of an export may say. It comes from others: each value is looked at before anything is made of it."""

from collections.abc import Callable, Mapping
from math import isfinite
from typing import Any

from robnas.errors import UserError, require, short
from robnas.space.genotype import Genotype


def check(content: Mapping[str, Any]) -> None:
    """Raise UserError, "class_names: 5 is not …", for the first value of another kind than `export.write` leaves."""
    found = content["architecture"]
    for key, (fits, wanted) in _KINDS.items():
        require(fits(found[key]), f"{key}: {short(found[key])} is not {wanted}")
    names, mean, std = found["class_names"], found["mean"], found["std"]
    require(len(names) == found["num_classes"], f"class_names: {len(names)} names for num_classes: {found['num_classes']}")
    require(len(mean) == len(std), f"mean, std: {len(mean)} and {len(std)} numbers; each needs one a channel")
    require(len(mean) in (1, found["image_shape"][0]), f"mean: {len(mean)} numbers for {found['image_shape'][0]} channels")
    _description(found["description"])
    weights, data = content.get("weights"), content.get("data")
    digest = weights.get("blake2b") if isinstance(weights, Mapping) else None
    require(isinstance(digest, str), f'weights: {short(weights)} is not {{"blake2b": digest}}')
    require(data is None or isinstance(data, Mapping), f"data: {short(data)} is not a class with its arguments")
    arguments = (data or {}).get("init_args")
    require(arguments is None or isinstance(arguments, Mapping), f"data: init_args {short(arguments)} is not a mapping of arguments")


def _description(description: Mapping[str, Any]) -> None:
    for key in ("name", "family"):
        require(isinstance(description.get(key), str), f"description: its {key} {short(description.get(key))} is not a text")
    if "genotype" in description:
        try:
            Genotype.from_dict(description["genotype"])
        except UserError as error:
            raise UserError(f"description: {error}") from error
    else:
        plugin = description.get("plugin")
        require(isinstance(plugin, str), f"description: its plugin {short(plugin)} is not a network's name, and there is no genotype")


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= _MOST


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)


def _list(value: Any, each: Callable[[Any], bool]) -> bool:
    return isinstance(value, list | tuple) and len(value) >= 1 and all(map(each, value))


_MOST = 1_000_000
"""Classes, or pixels a side: beyond any data there are, and below what would fill the memory with an empty network."""

_KINDS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "description": (lambda v: isinstance(v, Mapping), "a mapping with name, family and genotype or plugin"),
    "size": (lambda v: isinstance(v, str), "a text"),
    "options": (lambda v: isinstance(v, Mapping), "a mapping of options"),
    "num_classes": (_whole, "a whole number ≥ 1"),
    "image_shape": (lambda v: _list(v, _whole) and len(v) == 3, "[channels, height, width]"),
    "class_names": (lambda v: _list(v, lambda name: isinstance(name, str | int)), "a list of names"),
    "mean": (lambda v: _list(v, _number), "a list of numbers, one a channel"),
    "std": (lambda v: _list(v, lambda s: _number(s) and s > 0), "a list of positive numbers, one a channel"),
}
