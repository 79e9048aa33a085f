"""What Figs 2 and 5 show: an attack inside an L∞ ball towards the second most likely class, and towards the least likely one."""

from __future__ import annotations

from robnas.report.collected import Collected
from robnas.report.found import Found
from robnas.report.paper.forests import WHOLE, Quantity
from robnas.report.paper.variants import printed

EPS = 8 / 255
"""Of Table 6."""
GOALS = {"most_likely": ("second most likely class (M)", "asr_most_likely"), "least_likely": ("least likely class (L)", "asr_least_likely")}


def quantities(collected: Collected, plugin: str) -> list[Quantity]:
    """M and L. Where a study has neither, but untargeted runs, those: beyond the paper, and said so by the panel's name."""
    rows = collected.select(plugin=plugin, metric="asr", norm="linf", kind="attack")
    found = [
        Quantity(
            name,
            "ASR",
            of_goal(rows, goal),
            printed(collected, metric, "Table 4") if plugin == "pgd" else {},
            near=from_eps,
            limits=WHOLE,
        )
        for goal, (name, metric) in GOALS.items()
    ]
    if any(quantity.rows for quantity in found):
        return found
    return [Quantity("untargeted (not in the paper)", "ASR", of_goal(rows, "untargeted"), near=from_eps, limits=WHOLE)]


def of_goal(rows: list[Found], goal: str) -> list[Found]:
    """Those that pursue it."""
    return [found for found in rows if found.params.get("goal") == goal]


def from_eps(found: Found) -> float:
    """Distance from Table 6's ε."""
    eps = found.params.get("eps")
    return abs(eps - EPS) if isinstance(eps, int | float) else 1.0
