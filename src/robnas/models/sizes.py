"""Sizes of the networks that have a name, at the paper's size, read from `sizes.yaml`. Needs no torch."""

from functools import cache
from importlib.resources import files

import yaml

from robnas.space.size import Size


@cache
def sizes() -> dict[str, Size]:
    """Name of a manual family or of a published cell → its size for CIFAR10, as `tools/sizes_of_models.py` has counted it."""
    data = yaml.safe_load((files("robnas.models") / "sizes.yaml").read_text("utf-8"))
    return {name: Size(**counted) for name, counted in data.items()}
