"""Fig. 7: backdoors, how often the trigger works (ASR) and what it costs on clean inputs (CAD), model by model."""

from robnas.report import names
from robnas.report.collected import Collected
from robnas.report.exhibit import Exhibit
from robnas.report.found import Found
from robnas.report.paper import forests
from robnas.report.paper.fig_08 import neurons
from robnas.report.paper.forests import WHOLE, Quantity
from robnas.report.paper.variants import printed

DEFAULT = 2
"""Target neurons of Table 6."""


def exhibit(collected: Collected) -> Exhibit:
    """TrojanNN (Eq. 7), and BadNets where a study has it."""
    quantities = [quantity for plugin in ("trojannn", "badnets") for quantity in _of(collected, plugin)]
    about = (
        "Backdoors: share of stamped test inputs answered with the target class (ASR), and accuracy lost on clean inputs (CAD). By "
        "the paper's and the authors' protocols ASR counts inputs of the target class too, which need no trigger; by `sound` it does not."
    )
    needed = "backdoors: robnas fit --config trojannn/paper.yaml --init_from RUN"
    return forests.exhibit(
        collected,
        [quantity for quantity in quantities if quantity.rows],
        key="fig-7",
        label="Fig. 7",
        title="Backdoor injection",
        about=about,
        needed=needed,
    )


def _of(collected: Collected, plugin: str) -> list[Quantity]:
    name = names.plugin(plugin)
    paper = {m: printed(collected, f"backdoor_{m}", "Table 4") if plugin == "trojannn" else {} for m in ("asr", "cad")}
    asr, cad = (collected.select(plugin=plugin, metric=metric) for metric in ("asr", "cad"))
    return [
        Quantity(f"{name}, ASR", "ASR", asr, paper["asr"], near=from_paper, limits=WHOLE),
        Quantity(f"{name}, CAD", "CAD", cad, paper["cad"], near=from_paper, guide=0.0),
    ]


def from_paper(found: Found) -> float:
    """Distance from Table 6's number of target neurons."""
    return abs(neurons(found) - DEFAULT) if found.row.plugin == "trojannn" else 0.0
