"""Probes: one file each, on what `base` does for all of them."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from robnas.probes.base import Measurement, Probe

__all__ = ["Measurement", "Probe"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from robnas.probes import base

        return getattr(base, name)
    raise AttributeError(f"module 'robnas.probes' has no attribute {name!r}")
