"""What goes to another node with a job, and what comes back, where the two have no file system in common: through a store."""

import os
from collections.abc import Sequence
from pathlib import Path

from robnas import jobs
from robnas.errors import require
from robnas.study.replica import Replica
from robnas.study.store import Store

SHIPPED = 4 << 20
"""Bytes of a file that a command names, such as a config of the user's own, up to which it goes to the node with the command."""


class Courier:
    """Nodes know everything by its path from the current folder, so that configs and rows say the same wherever a job ran.

    Args:
        store: URI. study: the study's folder, in or below the current one.

    Raises:
        UserError: it is elsewhere; or as `Store`.
    """

    def __init__(self, store: str, study: Path) -> None:
        self.here, self.study = Path.cwd(), study
        require(
            study.resolve().is_relative_to(self.here.resolve()),
            f"--store: the study's folder {study} is not below the current one; other nodes know it by its path from there",
        )
        self.relative = os.path.relpath(study.resolve(), self.here.resolve())
        self.replica = Replica(Store(store), study, own=False)

    def words(self, argv: Sequence[str]) -> list[str]:
        """A command as it is run elsewhere: paths start from the current folder."""
        return [flag + self._from_here(value) for flag, value in map(_split, argv)]

    def files(self, argv: Sequence[str]) -> dict[str, bytes]:
        """What a command names in or below the current folder beside run folders, such as configs: path from there → content."""
        found = {}
        for _, value in map(_split, self.words(argv)):
            path = self.here / value if 0 < len(value) < 1024 and "\n" not in value and not Path(value).is_absolute() else None
            if path is not None and ".." not in path.parts and path.is_file() and path.stat().st_size <= SHIPPED:
                found[value] = path.read_bytes()
        return found

    def runs(self, folders: Sequence[Path]) -> list[str]:
        """Run folders of the study → what the store calls them, `<experiment>/<job>`. Raises UserError for others."""
        names = [os.path.relpath(folder.resolve(), self.study.resolve()) for folder in folders]
        for name, folder in zip(names, folders, strict=True):
            require(name.count(os.sep) == 1 and not name.startswith(".."), f"--store: {folder} is no run folder of the study {self.study}")
        return names

    def send(self, folders: Sequence[Path]) -> list[str]:
        """As `runs`; the store then has what is here. Raises OSError."""
        names = self.runs(folders)
        for name in names:
            if (self.study / name).is_dir():
                self.replica.share(name)
        return names

    def collect(self, names: Sequence[str]) -> None:
        """Run folders come back. Raises OSError."""
        for name in names:
            self.replica.fetch(name)
            job = jobs.job_at(self.study / name)
            if job is not None and job.state() == "finished":
                job.point()

    def home(self, folder: str) -> Path:
        """A run folder as a node calls it → as the study does."""
        return self.here / folder if self.study.is_absolute() else Path(folder)

    def _from_here(self, value: str) -> str:
        if not value.startswith(os.sep):
            return value
        for here in (self.here, self.here.resolve()):
            if Path(value).is_relative_to(here):
                return str(Path(value).relative_to(here))
        return value


def _split(word: str) -> tuple[str, str]:
    """`--runs=/some/where` → `--runs=` and `/some/where`."""
    flag, equals, value = word.partition("=")
    return (flag + equals, value) if word.startswith("-") and equals else ("", word)
