"""Beyond the paper: what goes with vulnerability, cells beside their robustness, what n_step and γ do to a search."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from robnas.report.collected import Collected
    from robnas.report.exhibit import Exhibit

ORDER = ("accuracy_robustness", "cells_robustness", "probe_attack", "attack_attack", "searches")
"""Modules of this package, each with one function `exhibit(collected) -> Exhibit`."""


def function(name: str) -> Callable[[Collected], Exhibit]:
    """The `exhibit` of a module of `ORDER`."""
    found: Callable[[Collected], Exhibit] = import_module(f"robnas.report.beyond.{name}").exhibit
    return found
