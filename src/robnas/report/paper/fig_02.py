"""Fig. 2: targeted PGD, towards the second most likely class (M) and the least likely one (L), model by model."""

from robnas.report.collected import Collected
from robnas.report.exhibit import Exhibit
from robnas.report.paper import forests
from robnas.report.paper.targeted import quantities


def exhibit(collected: Collected) -> Exhibit:
    """Attack success rate (Eq. 9) of each model."""
    about = (
        "Attack success rate (Eq. 9) of PGD in L∞, towards the second most likely class and towards the least likely one. Three steps of "
        "2/255, as Table 6 has them for the first, cannot use a budget of 8/255: that panel by the paper's protocol measures how fast the "
        "attack is, not how robust the model."
    )
    needed = "rows of PGD with goal most_likely and least_likely: robnas attack RUN… --config pgd/paper.yaml"
    return forests.exhibit(
        collected, quantities(collected, "pgd"), key="fig-2", label="Fig. 2", title="Evasion by PGD", about=about, needed=needed
    )
