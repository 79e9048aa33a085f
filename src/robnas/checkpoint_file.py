"""A checkpoint read from disk: every byte checked, nothing in it executed, and refused by name where it is not whole."""

from pathlib import Path
from typing import Any

import torch

from robnas.errors import UserError


def read(path: Path, map_location: Any = "cpu") -> dict[str, Any]:
    """A checkpoint's content. Every byte is checked: the file is a zip archive, which carries a checksum of each part.

    Raises UserError that names the file where it is missing, cut off, damaged or no checkpoint.
    """
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
