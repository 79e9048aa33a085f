"""One process at a time in a folder; the lock is gone as soon as the process is, however it ends.

A record lock of POSIX, not flock: it belongs to the process alone. A forked worker of a data loader does not share it, so it goes with
the process even while its workers still linger.
"""

import os
import time
from pathlib import Path

from robnas.errors import UserError

patient = False
"""Whether to wait for a folder that is in use: in a process that runs jobs for others."""

_held: dict[Path, int] = {}


def acquire(folder: Path) -> None:
    """Until `release` or the end of this process; twice is once. Raises UserError where somebody else works there (and says who; a
    `patient` process waits instead), or where nothing can be written.
    """
    if (path := folder.resolve() / ".lock") in _held:
        return
    while True:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise UserError(f"{folder} cannot be written: {error.strerror}; --runs names another place") from error
        if _lock(file):
            break
        holder = os.read(file, 100).decode(errors="replace").strip() or "another process"
        os.close(file)
        if not patient:
            raise UserError(f"{folder} is in use by {holder}: wait for it, or end it")
        time.sleep(0.2)  # and from the start: who worked there may have taken the folder away
    os.ftruncate(file, 0)
    os.pwrite(file, f"process {os.getpid()} on {os.uname().nodename}".encode(), 0)
    _held[path] = file


def release(folder: Path) -> None:
    """Others may work in the folder again."""
    if (file := _held.pop(folder.resolve() / ".lock", None)) is not None:
        os.close(file)


def release_all() -> None:
    """For a process that does many jobs: none of them holds its folder any longer."""
    while _held:
        os.close(_held.popitem()[1])


def _lock(file: int) -> bool:
    try:
        import fcntl
    except ImportError:  # no POSIX: no protection
        return True
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
