"""Where the jobs of a study run: on this machine (`local`), or on a cluster (`ray_executor`). Torch-free."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self


@dataclass(frozen=True)
class Outcome:
    """How a command ended. status: exit status, negative: the signal that killed its worker; attempts: 0 where it was done before;
    folder: the run folder that it worked in, where it was run and had one.
    """

    argv: tuple[str, ...]
    status: int
    log: Path
    seconds: float = 0.0
    attempts: int = 1
    folder: Path | None = None

    @property
    def good(self) -> bool:
        """Whether it did what it was asked."""
        return self.status == 0

    def __str__(self) -> str:
        how = f"killed by signal {-self.status}" if self.status < 0 else f"exit status {self.status}"
        return f"robnas {' '.join(self.argv)}: {'done' if self.good else f'{how}, see {self.log}'}"


class Executor(Protocol):
    """Where jobs run. A context manager: leaving it ends all workers, whatever they do.

    Each job is a robnas command, and what it does depends on nothing but it: the rows of all executors are the same. What is done is
    not an executor's to know, nor whether a job that failed is tried again: whoever submits decides.
    """

    @property
    def slots(self) -> int:
        """Jobs at a time."""

    def __enter__(self) -> Self: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None: ...

    def submit(self, id: str, argv: Sequence[str], needs: Sequence[Path] = ()) -> None:
        """Queue a command; returns at once. An `id` that ended may be submitted again.

        Args:
            id: the plan's name of the job.
            argv: the command without "robnas", as a user would type it; it is run as `going_on(argv)`. Files and run folders in it are
                paths from the current folder.
            needs: run folders that must be there to read, and that an evaluation writes its rows into.
        """

    def wait(self) -> list[tuple[str, Outcome]]:
        """Blocks until at least one submitted job has ended → (id, how). Empty where nothing is left to wait for.

        A worker that died is an outcome too (status −9), but a node that was lost takes its jobs elsewhere without one.
        """


def going_on(argv: Sequence[str]) -> list[str]:
    """A `fit` that was killed goes on from its last checkpoint, and a finished one returns at once, unless the command says otherwise."""
    decided = any(word.partition("=")[0] in ("--ckpt_path", "--overwrite") for word in argv)
    return [*argv, "--ckpt_path", "last"] if argv and argv[0] == "fit" and not decided else list(argv)
