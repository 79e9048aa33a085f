"""Fig. 16: functionality stealing from DARTS and its variants."""

import math

from robnas.report.collected import Collected, Found
from robnas.report.exhibit import Exhibit
from robnas.report.paper import over
from robnas.report.paper.cells_found import VARIANTS
from robnas.report.paper.forests import Quantity
from robnas.report.paper.victims import of_victims


def exhibit(collected: Collected) -> Exhibit:
    """Average cross entropy of a replica over the number of queries, a line a victim; lower is a better theft."""
    rows = [found for found in of_victims(collected, collected.select(plugin="knockoff", metric="ace")) if found.model in VARIANTS]
    about = (
        "Average cross entropy (ACE) between the victim's and the replica's answers on test inputs, over the number of queries; lower is a "
        "better theft. The paper says that deeper cells make it much harder, and fewer skip connects a little."
    )
    queries = over.Abscissa("queries", at, ("budget",), shown="{:,.0f}".format)
    needed = "thefts from DARTS and its variants: robnas fit --config knockoff/paper.yaml --attacks.knockoff.victim=RUN (robnas study mitigation.yaml)"
    quantity = Quantity("ACE", "ACE", rows, share=False)
    title = "Functionality stealing from DARTS and its variants"
    return over.exhibit(collected, [quantity], queries, key="fig-16", label="Fig. 16", title=title, about=about, needed=needed)


def at(found: Found) -> float:
    """The budget; NaN where there is none."""
    budget = found.params.get("budget")
    return float(budget) if isinstance(budget, int | float) and budget > 0 else math.nan
