"""Checkpoints that are whole or not there: written beside, flushed to the disk, then renamed; a cut one is refused by name."""

import os
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins import CheckpointIO

from robnas.errors import UserError


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


def read(path: Path, map_location: Any = "cpu") -> dict[str, Any]:
    """A checkpoint's content. Every byte is checked: the file is a zip archive, which carries a checksum of each part."""
    if fault := damage(path):
        raise UserError(f"checkpoint {path}: {fault}")
    try:
        content = torch.load(path, map_location=map_location or "cpu", weights_only=True)
    except Exception as error:  # zip, pickle and torch each raise their own
        raise UserError(f"checkpoint {path} cannot be read: {str(error).strip().splitlines()[0]}") from error
    if not isinstance(content, dict) or "state_dict" not in content:
        raise UserError(f"checkpoint {path} holds no state_dict: it is not a checkpoint of a run")
    return content


def damage(path: Path) -> str:
    """What is wrong with the file, in a few words; "" where every part of it has its checksum."""
    import zipfile

    if not path.is_file():
        return "there is no such file"
    try:
        with zipfile.ZipFile(path) as archive:
            broken = archive.testzip()
    except (zipfile.BadZipFile, EOFError, OSError, NotImplementedError, ValueError):
        return f"it is cut off or damaged ({path.stat().st_size} bytes)"
    return f"it is damaged in {broken}" if broken else ""


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
