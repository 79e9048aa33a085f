"""Lightning plumbing that no method should have to know: verbs, run folders, checkpoints that survive a kill, loggers. Loads lazily."""

from typing import TYPE_CHECKING

from robnas import lazy

if TYPE_CHECKING:
    from robnas.runtime.checkpoint_io import AtomicCheckpointIO
    from robnas.runtime.checkpoints import Checkpoints
    from robnas.runtime.run_folder import Run
    from robnas.runtime.trainer import Trainer

__all__ = ["AtomicCheckpointIO", "Checkpoints", "Run", "Trainer"]
__getattr__ = lazy.names(
    __name__, {"checkpoint_io": "AtomicCheckpointIO", "checkpoints": "Checkpoints", "run_folder": "Run", "trainer": "Trainer"}
)
