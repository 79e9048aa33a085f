"""Table 1: test accuracy of every model, beside the paper's."""

from robnas.report.collected import Collected
from robnas.report.exhibit import Exhibit
from robnas.report.found import Found
from robnas.report.paper import forests
from robnas.report.paper.variants import printed
from robnas.report.rundirs import RunFolder

TWIN = "-clean"
"""How the experiment's name of a training ends that is only there for an attacked one to be held against."""


def exhibit(collected: Collected) -> Exhibit:
    """Accuracy of trainings that nobody attacked or defended."""
    about = (
        "Accuracy on the whole test set, of plain trainings: models that were attacked or defended in training, and the clean twins "
        "of attacked ones, are left out."
    )
    needed = "trainings: robnas fit --config classify.yaml --model.network=NAME"
    return forests.exhibit(collected, [quantity(collected)], key="table-1", label="Table 1", title="Accuracy", about=about, needed=needed)


def quantity(collected: Collected) -> forests.Quantity:
    """With the paper's numbers."""
    rows = [found for found in collected.select(metric="accuracy", kind="train", plugin="accuracy") if not twin(found.run)]
    return forests.Quantity("accuracy", "accuracy", rows, printed(collected, "accuracy", "Table 1"), near=members)


def twin(run: RunFolder) -> bool:
    """Whether it is only there for an attacked one to be held against."""
    return run.folder.parent.name.endswith(TWIN)


def members(found: Found) -> float:
    """How much of the training set is missing."""
    share = found.params.get("members")
    return 1.0 - share if isinstance(share, int | float) else 0.0
