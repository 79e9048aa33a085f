"""LightningModules: what `robnas fit` trains. Names load on first use."""

from typing import TYPE_CHECKING

from robnas import lazy

if TYPE_CHECKING:
    from robnas.tasks.classifier import Classifier
    from robnas.tasks.sampled_search import SampledSearch
    from robnas.tasks.search import Search

__all__ = ["Classifier", "SampledSearch", "Search"]
__getattr__ = lazy.names(__name__, {"classifier": "Classifier", "sampled_search": "SampledSearch", "search": "Search"})
