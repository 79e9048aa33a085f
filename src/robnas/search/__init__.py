"""Searchers: how an architecture is looked for. One file a method, each reading like its paper. Names load on first use."""

from typing import Any

_WHERE = {
    "DARTS": "robnas.search.darts",
    "Relaxed": "robnas.search.base",
    "Sampled": "robnas.search.base",
    "Searcher": "robnas.search.base",
    "damp": "robnas.search.damping",
    "top_two_edges": "robnas.search.derive",
}
__all__ = list(_WHERE)


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        from importlib import import_module

        return getattr(import_module(_WHERE[name]), name)
    raise AttributeError(f"module 'robnas.search' has no attribute {name!r}")
