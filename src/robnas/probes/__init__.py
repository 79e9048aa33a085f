"""Probes: one file each, on what `base` does for all of them. Names load on first use."""

from typing import TYPE_CHECKING

from robnas import lazy

if TYPE_CHECKING:
    from robnas.probes.base import Measurement, Probe

__all__ = ["Measurement", "Probe"]
__getattr__ = lazy.names(__name__, {"base": "Measurement Probe"})
