"""Checkpoints that are whole or not there: written beside, flushed to the disk, then renamed; a cut one is refused by name."""

import os
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins import CheckpointIO

from robnas.checkpoint_file import damage, read

__all__ = ["AtomicCheckpointIO", "damage", "read", "sync_folder"]


class AtomicCheckpointIO(CheckpointIO):
    """torch's own file format. Nothing in a file is executed on loading (`weights_only`).

    Lightning's default writes by way of the system's temporary folder, which is atomic only where that lies on the same file system.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any | None = None) -> None:
        """Whoever opens `path` finds the old checkpoint or the new one, whenever this process or the machine stops."""
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        new = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            with new.open("wb") as file:
                torch.save(checkpoint, file)
                file.flush()
                os.fsync(file.fileno())
            new.replace(path)
        finally:
            new.unlink(missing_ok=True)
        sync_folder(path.parent)

    def load_checkpoint(self, path: str | Path, map_location: Any = "cpu", weights_only: bool | None = True) -> dict[str, Any]:
        """Raises UserError that names the file where it is missing, cut off, damaged or no checkpoint."""
        return read(Path(path), map_location)

    def remove_checkpoint(self, path: str | Path) -> None:
        """Gone, if it was there."""
        Path(path).unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """The renaming itself reaches the disk, where the system can say so of folders."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(handle)
    except OSError:
        pass
    finally:
        os.close(handle)
