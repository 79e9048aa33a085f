"""Fig. 16: functionality stealing from DARTS and its variants."""

import math

from robnas.report.collected import Collected
from robnas.report.exhibit import Exhibit
from robnas.report.found import Found
from robnas.report.paper import of_variants, thefts
from robnas.report.paper.forests import Quantity
from robnas.report.paper.over import Abscissa
from robnas.report.searched import VARIANTS


def exhibit(collected: Collected) -> Exhibit:
    """Average cross entropy of a replica over the number of queries, a line a victim; lower is a better theft."""
    replica, rows = by_replica(collected)
    about = (
        "Average cross entropy (ACE) between the victim's and the replica's answers on test inputs, over the number of queries; lower is a "
        "better theft. The paper says that deeper cells make it much harder, and fewer skip connects a little."
        + (f" The replica is {replica}." if replica else "")
    )
    queries = Abscissa("queries", at, ("budget",), shown="{:,.0f}".format)
    theft = "robnas fit --config knockoff/paper.yaml --attacks.knockoff.victim=RUN"
    needed = f"thefts from DARTS and its variants: {theft} (robnas study mitigation.yaml)"
    quantity = Quantity("ACE", "ACE", rows, share=False)
    title = "Functionality stealing from DARTS and its variants"
    return of_variants.exhibit(collected, quantity, queries, key="fig-16", label="Fig. 16", title=title, about=about, needed=needed)


def by_replica(collected: Collected) -> tuple[str, list[Found]]:
    """What the replica is of the thefts that most variants suffered, and their rows, told as ones about the victim.

    Replicas of other architectures are another experiment; where as many were of the victim's own, those.
    """
    groups: dict[str, list[Found]] = {}
    for pair in thefts.of_victims(collected, collected.select(plugin="knockoff", metric="ace")):
        if pair[1].model in VARIANTS:
            own = "of the victim's own architecture" if thefts.same(pair) else pair[0].title
            groups.setdefault(own, []).append(thefts.of_victim(pair))
    return max(groups.items(), key=lambda g: (len({f.model for f in g[1]}), "own" in g[0], len(g[1])), default=("", []))


def at(found: Found) -> float:
    """The budget; NaN where there is none."""
    budget = found.params.get("budget")
    return float(budget) if isinstance(budget, int | float) and budget > 0 else math.nan
