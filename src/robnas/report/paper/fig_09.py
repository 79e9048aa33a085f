"""Fig. 9: functionality stealing where the replica has the victim's architecture, over the number of queries."""

import math

from robnas.report.collected import Collected
from robnas.report.exhibit import Exhibit
from robnas.report.found import Found
from robnas.report.paper import over, thefts
from robnas.report.paper.forests import Quantity


def exhibit(collected: Collected) -> Exhibit:
    """Average cross entropy (ACE, Eq. 8) of each model at each budget."""
    pairs = thefts.of_victims(collected, collected.select(plugin="knockoff", metric="ace"))
    about = (
        "Average cross entropy of the replica's answers under the victim's on test inputs (ACE, nats; lower: more is stolen), both of one "
        "architecture. ACE favours victims that are sure of themselves: it is never below the entropy of their answers."
    )
    queries = over.Abscissa("queries", budget, ("budget",), shown=lambda q: f"{q / 1000:g}K" if q >= 1000 else f"{q:g}")
    rows = [replica for replica, victim in pairs if thefts.same((replica, victim))]
    needed = "thefts: robnas fit --config knockoff/paper.yaml --model.network=NAME --attacks.knockoff.victim=RUN of the same NAME"
    quantity = Quantity("ACE", "ACE", rows, near=thefts.from_budget, share=False)
    return over.exhibit(
        collected, [quantity], queries, key="fig-9", label="Fig. 9", title="Functionality stealing", about=about, needed=needed
    )


def budget(found: Found) -> float:
    """Queries; NaN where a row does not say it."""
    number = found.params.get("budget")
    return float(number) if isinstance(number, int) and number > 0 else math.nan
