"""Fig. 3: untargeted PGD over the perturbation threshold ε, with α = ε/3."""

import math

from robnas.report.collected import Collected
from robnas.report.exhibit import Exhibit
from robnas.report.found import Found
from robnas.report.paper import over
from robnas.report.paper.forests import WHOLE, Quantity

RATIO = 1 / 3
"""α/ε of Fig. 3."""


def exhibit(collected: Collected) -> Exhibit:
    """Attack success rate of each model at each ε."""
    rows = collected.select(plugin="pgd", metric="asr", norm="linf", kind="attack", params={"goal": "untargeted"})
    thirds = [found for found in rows if abs(ratio(found) - RATIO) < 0.01]
    about = (
        "Attack success rate of untargeted PGD in L∞ over the threshold ε, with steps of α = ε/3. Where every image is allowed (255/255) a "
        "success rate below 100% would be the attack's fault, not the model's strength; so would one that falls as ε grows."
    )
    if not thirds:
        thirds = rows
        about += " Departure: here α is not ε/3."
    eps = over.Abscissa("ε, 1/255", at, ("eps", "step_size"), shown="{:.3g}".format)
    needed = "rows of PGD over ε: robnas attack RUN… --config pgd/sweep_paper.yaml"
    quantity = Quantity("ASR", "ASR", thirds, limits=WHOLE)
    return over.exhibit(collected, [quantity], eps, key="fig-3", label="Fig. 3", title="Evasion over ε", about=about, needed=needed)


def at(found: Found) -> float:
    """ε in steps of a pixel's 255; NaN where there is no bound."""
    eps = found.params.get("eps")
    return 255 * eps if isinstance(eps, int | float) and eps > 0 else math.nan


def ratio(found: Found) -> float:
    """α/ε; NaN where there is none."""
    eps, step = found.params.get("eps"), found.params.get("step_size")
    numbers = isinstance(eps, int | float) and isinstance(step, int | float) and eps > 0
    return step / eps if numbers and step is not None and eps is not None else math.nan
