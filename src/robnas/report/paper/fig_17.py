"""Fig. 17: model poisoning of DARTS and its variants."""

from robnas.report.collected import Collected
from robnas.report.exhibit import Exhibit
from robnas.report.paper import of_variants
from robnas.report.paper.fig_06 import at
from robnas.report.paper.forests import Quantity
from robnas.report.paper.over import Abscissa


def exhibit(collected: Collected) -> Exhibit:
    """Clean accuracy drop over the share of flipped labels, a line a variant; Fig. 6 of these four."""
    rows = collected.select(plugin="labelflip", metric="cad")
    about = (
        "Clean accuracy drop (Eq. 11) where a share of the training labels is flipped, as in Fig. 6. The paper says that both "
        "strategies, deeper "
        "cells above all, make poisoning worse."
    )
    rate = Abscissa("flipped training labels", at, ("rate",), shown="{:.0%}".format, logarithmic=False)
    needed = (
        "trainings of DARTS and its variants with flipped labels: robnas fit --config label_flip/paper.yaml (robnas study mitigation.yaml)"
    )
    quantity = Quantity("CAD", "CAD", rows, guide=0.0, near=lambda found: -at(found))
    title = "Model poisoning of DARTS and its variants"
    return of_variants.exhibit(collected, quantity, rate, key="fig-17", label="Fig. 17", title=title, about=about, needed=needed)
