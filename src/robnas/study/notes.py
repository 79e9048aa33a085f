"""What a study has done, so that it is never done again: a small file for every command that came to a good end."""

import json
import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from robnas import atomic, jobs
from robnas.configuration import files
from robnas.errors import UserError
from robnas.identity import file_digest, identity_of
from robnas.study import foreign, layers
from robnas.study.executor import Outcome


@dataclass(frozen=True)
class Note:
    """folder: the run folder, relative to the study's, "" where it had none; log: likewise; seconds, attempts: of the run that was good."""

    folder: str
    log: str
    seconds: float
    attempts: int


class Notes:
    """Below the study's folder, in `.pool`. A command is the same if its words are, the contents of its files, the runs that it names, and
    the source of classes that are not ours.

    A run that was made anew is another one; so is one whose folder is gone. Who watches (`--wandb`) does not count.
    """

    def __init__(self, study: Path) -> None:
        self.study = study

    def find(self, argv: Sequence[str]) -> Note | None:
        """Of a command that is done."""
        try:
            content = json.loads(self._file(argv).read_text("utf-8"))
            note = Note(str(content["folder"]), str(content["log"]), float(content["seconds"]), int(content["attempts"]))
        except (OSError, ValueError, TypeError, KeyError):
            return None
        job = jobs.job_at(self.study / note.folder) if note.folder else None
        return note if job is not None and (argv[0] != "fit" or job.state() == "finished") else None

    def remember(self, argv: Sequence[str], outcome: Outcome, at: Path | None, attempts: int) -> Note:
        """That it came to a good end. at: the run folder that it made, or wrote into."""
        folder = self.relative(at)
        note = Note(folder, self.relative(outcome.log), round(outcome.seconds, 1), attempts)
        atomic.write(self._file(argv), json.dumps({"argv": list(argv), **note.__dict__}, ensure_ascii=False) + "\n")
        return note

    def relative(self, path: Path | None) -> str:
        """To the study's folder, where it lies below it."""
        if path is None:
            return ""
        home, path = self.study.resolve(), path.resolve()
        return path.relative_to(home).as_posix() if path.is_relative_to(home) else str(path)

    def _file(self, argv: Sequence[str]) -> Path:
        counted = [word.replace(str(self.study), "{study}") for word in argv if not word.startswith("--wandb")]
        built_on, seen = [], set()
        for before, word in zip(["", *argv], argv, strict=False):
            value = word.partition("=")[2] if word.startswith("--") and "=" in word else word
            if os.sep in value and (job := jobs.job_at(value)) is not None:
                built_on.append(f"{job.identity} {job.facts.get('created')}")
            elif (path := _file_of(value, before)) is not None:
                built_on.append(file_digest(path))
                seen.add(path.resolve())
        built_on += self._named_in(argv, seen)
        return self.study / ".pool" / f"{identity_of({'argv': [f'{word} ' for word in counted]}, built_on)[:16]}.done"

    @staticmethod
    def _named_in(argv: Sequence[str], seen: Collection[Path]) -> list[str]:
        """What the configs of a command name: files, and classes that are not ours."""
        try:
            config = layers.merged(layers.asked(tuple(argv[1:])))
        except UserError:  # a config that is gone, or is none: the job says so
            return []
        files = [file_digest(path) for path in foreign.files(config) if path.resolve() not in seen]
        return files + [f"{name} {digest}" for name, digest in foreign.classes(config).items()]


def _file_of(value: str, before: str) -> Path | None:
    """The file that a word of a command means: a config, or any that is there."""
    if before != "--config":
        return foreign.file_of(value)
    try:
        return files.find(value)
    except UserError:
        return None
