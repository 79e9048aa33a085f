"""robnas searches, trains, attacks, explains and hardens neural architectures.

Names load on first use, so that `import robnas` needs no torch.
"""

import os
from typing import TYPE_CHECKING, Any

from robnas._version import __version__

if TYPE_CHECKING:
    from robnas.data.membership import read as membership
    from robnas.models.load import load

__all__ = ["__version__", "load", "membership"]

# Threads of GNU OpenMP wait for each other by spinning. Where other work shares the cores, a step of a small network then takes 12 s in
# place of 0.3 s (measured: two threads on two busy cores). Asleep they cost nothing. Must be said before torch is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def __getattr__(name: str) -> Any:
    if name == "load":
        from robnas.models.load import load

        return load
    if name == "membership":
        from robnas.data.membership import read

        return read
    if name in ("attacks", "data", "models", "probes", "search", "space", "tasks"):
        from importlib import import_module

        return import_module(f"robnas.{name}")
    raise AttributeError(f"module 'robnas' has no attribute {name!r}")
