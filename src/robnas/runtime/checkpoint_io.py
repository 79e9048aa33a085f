"""Checkpoints that are whole or not there: written beside, flushed to the disk, then renamed; a cut one is refused by name."""

from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins import CheckpointIO

from robnas import atomic
from robnas.checkpoint_file import damage, read

__all__ = ["AtomicCheckpointIO", "damage", "read"]


class AtomicCheckpointIO(CheckpointIO):
    """torch's own file format. Nothing in a file is executed on loading (`weights_only`).

    Lightning's default writes by way of the system's temporary folder, which is atomic only where that lies on the same file system.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any | None = None) -> None:
        """Whoever opens `path` finds the old checkpoint or the new one, whenever this process or the machine stops."""
        path = Path(path)
        with atomic.replacing(path) as file:
            torch.save(checkpoint, file)

    def load_checkpoint(self, path: str | Path, map_location: Any = "cpu", weights_only: bool | None = True) -> dict[str, Any]:
        """Raises UserError that names the file where it is missing, cut off, damaged or no checkpoint."""
        return read(Path(path), map_location)

    def remove_checkpoint(self, path: str | Path) -> None:
        """Gone, if it was there."""
        Path(path).unlink(missing_ok=True)
