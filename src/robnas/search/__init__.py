"""Searchers: how an architecture is looked for. One file a method, each reading like its paper. Names load on first use."""

from typing import TYPE_CHECKING

from robnas import lazy

if TYPE_CHECKING:
    from robnas.search.amoebanet import AmoebaNet
    from robnas.search.base import Relaxed, Searcher
    from robnas.search.damping import damp
    from robnas.search.darts import DARTS
    from robnas.search.derive import top_two_edges
    from robnas.search.drnas import DrNAS
    from robnas.search.enas import ENAS
    from robnas.search.evaluator import Evaluator
    from robnas.search.nasnet import NASNet
    from robnas.search.pc_darts import PCDARTS
    from robnas.search.pdarts import PDARTS
    from robnas.search.random_search import Random
    from robnas.search.sampled import Sampled
    from robnas.search.sgas import SGAS
    from robnas.search.shared_weights import SharedWeights
    from robnas.search.snas import SNAS
    from robnas.search.trained_child import TrainedChild
    from robnas.search.zero_cost import ZeroCost

__all__ = [
    "DARTS",
    "ENAS",
    "PCDARTS",
    "PDARTS",
    "SGAS",
    "SNAS",
    "AmoebaNet",
    "DrNAS",
    "Evaluator",
    "NASNet",
    "Random",
    "Relaxed",
    "Sampled",
    "Searcher",
    "SharedWeights",
    "TrainedChild",
    "ZeroCost",
    "damp",
    "top_two_edges",
]
__getattr__ = lazy.names(
    __name__,
    {
        "amoebanet": "AmoebaNet",
        "base": "Relaxed Searcher",
        "damping": "damp",
        "darts": "DARTS",
        "derive": "top_two_edges",
        "drnas": "DrNAS",
        "enas": "ENAS",
        "evaluator": "Evaluator",
        "nasnet": "NASNet",
        "pc_darts": "PCDARTS",
        "pdarts": "PDARTS",
        "random_search": "Random",
        "sampled": "Sampled",
        "sgas": "SGAS",
        "shared_weights": "SharedWeights",
        "snas": "SNAS",
        "trained_child": "TrainedChild",
        "zero_cost": "ZeroCost",
    },
)
