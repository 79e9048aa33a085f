"""Fig. 5: the same two goals without gradients, by NES (Eq. 10)."""

from robnas.report.collected import Collected
from robnas.report.exhibit import Exhibit
from robnas.report.paper import forests
from robnas.report.paper.targeted import quantities


def exhibit(collected: Collected) -> Exhibit:
    """Attack success rate (Eq. 9) of each model."""
    about = "Attack success rate (Eq. 9) of NES, which sees scores alone and estimates the gradient from queries (Eq. 10), in L∞."
    needed = "rows of NES with goal most_likely and least_likely: robnas attack RUN… --config nes/paper.yaml"
    return forests.exhibit(
        collected, quantities(collected, "nes"), key="fig-5", label="Fig. 5", title="Evasion by NES", about=about, needed=needed
    )
