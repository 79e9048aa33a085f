"""Fig. 8: TrojanNN over the number of target neurons."""

import math

from robnas.report.collected import Collected
from robnas.report.exhibit import Exhibit
from robnas.report.found import Found
from robnas.report.paper import over
from robnas.report.paper.forests import WHOLE, Quantity


def exhibit(collected: Collected) -> Exhibit:
    """ASR and CAD of each model at each number."""
    asr, cad = (collected.select(plugin="trojannn", metric=metric) for metric in ("asr", "cad"))
    about = "TrojanNN by the number of neurons that its trigger is made to excite: success of the trigger (ASR), and its cost (CAD)."
    number = over.Abscissa("target neurons", neurons, ("n_neurons", "neurons"))
    needed = "backdoors: robnas fit --config trojannn/paper.yaml --init_from RUN --attacks.trojannn.n_neurons=1 (and 2, 4, 8)"
    quantities = [Quantity("ASR", "ASR", asr, limits=WHOLE), Quantity("CAD", "CAD", cad, guide=0.0)]
    return over.exhibit(
        collected, quantities, number, key="fig-8", label="Fig. 8", title="TrojanNN by target neurons", about=about, needed=needed
    )


def neurons(found: Found) -> float:
    """How many; NaN where a row does not say it."""
    given, number = found.params.get("neurons"), found.params.get("n_neurons")
    return float(len(given)) if isinstance(given, list) else float(number) if isinstance(number, int) else math.nan
