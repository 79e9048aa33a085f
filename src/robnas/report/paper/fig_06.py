"""Fig. 6: clean accuracy drop (CAD, Eq. 11) over the share of flipped training labels."""

import math

from robnas.report.collected import Collected
from robnas.report.exhibit import Exhibit
from robnas.report.found import Found
from robnas.report.paper import over
from robnas.report.paper.forests import Quantity


def exhibit(collected: Collected) -> Exhibit:
    """CAD of each model at each rate."""
    rows = collected.select(plugin="labelflip", metric="cad")
    about = (
        "Clean accuracy drop (Eq. 11) where a share of the training labels is flipped: accuracy of the same training without flips less "
        "that with them, on the same test inputs. Without flips it is 0 by definition, and not drawn. Defended trainings are left out."
    )
    rate = over.Abscissa("flipped training labels", at, ("rate",), shown="{:.0%}".format, logarithmic=False)
    needed = "trainings with flipped labels: robnas fit --config label_flip/paper.yaml --attacks.label_flip.rate=0.4 --model.network=NAME"
    quantity = Quantity("CAD", "CAD", rows, guide=0.0, near=lambda found: -at(found))
    return over.exhibit(collected, [quantity], rate, key="fig-6", label="Fig. 6", title="Model poisoning", about=about, needed=needed)


def at(found: Found) -> float:
    """The rate; NaN where it flips nothing."""
    rate = found.params.get("rate")
    return float(rate) if isinstance(rate, int | float) and rate > 0 else math.nan
