"""Lightning plumbing that no method should have to know: verbs, run folders, checkpoints that survive a kill, loggers. Loads lazily."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from robnas.runtime.checkpoint_io import AtomicCheckpointIO
    from robnas.runtime.checkpoints import Checkpoints
    from robnas.runtime.run_folder import Run
    from robnas.runtime.trainer import Trainer

_HOME = {"AtomicCheckpointIO": "checkpoint_io", "Checkpoints": "checkpoints", "Run": "run_folder", "Trainer": "trainer"}

__all__ = ["AtomicCheckpointIO", "Checkpoints", "Run", "Trainer"]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f"robnas.runtime.{_HOME[name]}"), name)
    raise AttributeError(f"module 'robnas.runtime' has no attribute {name!r}")
