"""The paper's tables and figures, one file each with one function, `exhibit(collected) -> Exhibit`, in the paper's order."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from robnas.report.collected import Collected
    from robnas.report.exhibit import Exhibit

ORDER = (
    *("table_01", "table_06"),  # §3.1: models and how they are trained
    *("fig_02", "fig_03", "fig_04", "fig_05", "fig_06", "fig_07", "fig_08", "fig_09", "table_02", "fig_10"),  # §3.2: attacks
    *("fig_11", "fig_12"),  # §4: why
    *("table_03", "fig_14", "fig_15", "fig_16", "fig_17", "table_04", "fig_18"),  # §5: what to do
)
"""Modules of this package; Fig. 1 and Fig. 13 and Table 5 show no measurements."""


def function(name: str) -> Callable[[Collected], Exhibit]:
    """The `exhibit` of a module of `ORDER`."""
    found: Callable[[Collected], Exhibit] = import_module(f"robnas.report.paper.{name}").exhibit
    return found
