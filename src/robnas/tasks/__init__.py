"""LightningModules: what `robnas fit` trains. Names load on first use."""

from typing import Any

_WHERE = {
    "Classifier": "robnas.tasks.classifier",
    "Search": "robnas.tasks.search",
}
__all__ = list(_WHERE)


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        from importlib import import_module

        return getattr(import_module(_WHERE[name]), name)
    raise AttributeError(f"module 'robnas.tasks' has no attribute {name!r}")
