"""Files that are whole, old or new, at every moment: written beside, flushed to the disk, then renamed."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """A file to write into, which takes `path`'s place when the block ends well and vanishes when it does not. Makes the folder.

    The temporary file lies beside it, for a renaming is atomic only within one file system.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    new = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        new.chmod(0o644)
        new.replace(path)
    except BaseException:
        new.unlink(missing_ok=True)
        raise
    sync(path.parent)


def write(path: Path, text: str) -> None:
    """Whoever reads `path` sees the old text or the new one, never a part of one."""
    with replacing(path) as file:
        file.write(text.encode())


def sync(folder: Path) -> None:
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
