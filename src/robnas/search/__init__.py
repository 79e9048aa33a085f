"""Searchers: how an architecture is looked for. One file a method, each reading like its paper. Names load on first use."""

from typing import TYPE_CHECKING

from robnas import lazy

if TYPE_CHECKING:
    from robnas.search.base import Relaxed, Sampled, Searcher
    from robnas.search.damping import damp
    from robnas.search.darts import DARTS
    from robnas.search.derive import top_two_edges
    from robnas.search.pc_darts import PCDARTS
    from robnas.search.sgas import SGAS
    from robnas.search.snas import SNAS

__all__ = ["DARTS", "PCDARTS", "SGAS", "SNAS", "Relaxed", "Sampled", "Searcher", "damp", "top_two_edges"]
__getattr__ = lazy.names(
    __name__,
    {
        "base": "Relaxed Sampled Searcher",
        "damping": "damp",
        "darts": "DARTS",
        "derive": "top_two_edges",
        "pc_darts": "PCDARTS",
        "sgas": "SGAS",
        "snas": "SNAS",
    },
)
