"""Networks by name, and models read back from runs. Names load on first use."""

from typing import Any

_WHERE = {
    "Normalize": "robnas.models.normalize",
    "Normalized": "robnas.models.normalize",
    "build": "robnas.models.build",
    "describe": "robnas.models.build",
    "load": "robnas.models.load",
}
__all__ = list(_WHERE)


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        from importlib import import_module

        return getattr(import_module(_WHERE[name]), name)
    raise AttributeError(f"module 'robnas.models' has no attribute {name!r}")
