"""LightningModules: what `robnas fit` trains. Names load on first use."""

from typing import TYPE_CHECKING

from robnas import lazy

if TYPE_CHECKING:
    from robnas.tasks.adversarial import AdversarialClassifier
    from robnas.tasks.classifier import Classifier
    from robnas.tasks.own_model import OwnModel
    from robnas.tasks.sampled_search import SampledSearch
    from robnas.tasks.search import Search

__all__ = ["AdversarialClassifier", "Classifier", "OwnModel", "SampledSearch", "Search"]
__getattr__ = lazy.names(
    __name__,
    {
        "adversarial": "AdversarialClassifier",
        "classifier": "Classifier",
        "own_model": "OwnModel",
        "sampled_search": "SampledSearch",
        "search": "Search",
    },
)
