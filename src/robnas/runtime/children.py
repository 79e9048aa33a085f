"""What trains the children of a search: robnas commands in warm processes beside the run, which end with it."""

import os
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from robnas.study.executor import Outcome
from robnas.study.pool import Pool

SAY_EVERY = 10.0
"""Seconds between two lines of progress, at least."""


class Children(Callback):
    """`trainer.jobs`: runs commands side by side, each process with one thread and, where the run is on CUDA, with one device in turn.

    One thread, because sums over several are not the same bits: a child's score depends neither on how many children there are at a time
    nor on how many cores. A command that fails is run once more.

    Args:
        runner: what runs a command in its process; see `Pool`.
        preload: modules that a process imports before its first command.
    """

    def __init__(self, runner: str = "robnas.__main__:main", preload: Sequence[str] = ("robnas.cli", "robnas.tasks.classifier")) -> None:
        self.runner, self.preload = runner, preload
        self.folder, self.devices, self.quiet = Path(), list[str](), True
        self._pool: Pool | None = None
        self._asked, self._trained, self._said = 0, 0, 0.0

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Processes begin when the first command comes."""
        self.folder = Path(trainer.default_root_dir) / "children"
        self.devices = cuda_devices() if trainer.strategy.root_device.type == "cuda" else []
        self.quiet = trainer.progress_bar_callback is None

    def __call__(self, commands: Sequence[Sequence[str]], workers: int | None = None) -> list[Path | None]:
        """argv of each, without "robnas" → the run folder that it worked in; None where it failed twice, which is said in a line: a child
        of a search then has the worst score, a shadow counts for nothing.

        workers: commands at a time; None: one for each CUDA device, or for each core.
        """
        if not commands:
            return []
        most = workers or len(self.devices) or cores()
        if self._pool is None:
            settings = {"runner": self.runner, "preload": self.preload, "devices": self.devices}
            self._pool = Pool(most, self.folder, threads=1, quiet=True, ended=self._ended, **settings).__enter__()  # type: ignore[arg-type]
        self._pool.workers, self._asked = most, self._asked + len(commands)
        outcomes = self._pool.run(commands)
        failed = [i for i, outcome in enumerate(outcomes) if not outcome.good]
        for i, outcome in zip(failed, self._pool.run([commands[i] for i in failed]), strict=True):
            outcomes[i] = outcome
            if not outcome.good:
                print(f"failed twice: {outcome}", flush=True)
        return [outcome.folder if outcome.good else None for outcome in outcomes]

    def _ended(self, outcome: Outcome) -> None:
        self._trained += outcome.good
        if not self.quiet and time.monotonic() - self._said > SAY_EVERY:
            self._said = time.monotonic()
            print(f"children: {self._trained} of {self._asked} trained, the last one in {outcome.seconds:.1f} s", flush=True)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """The run is over."""
        self._end()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """It was broken off."""
        self._end()

    def _end(self) -> None:
        if self._pool is not None:
            self._pool.close()
            self._pool = None


def cores() -> int:
    """That this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cuda_devices() -> list[str]:
    """Those that this process sees, as CUDA_VISIBLE_DEVICES names them."""
    seen = os.environ.get("CUDA_VISIBLE_DEVICES")
    return seen.split(",") if seen else [str(i) for i in range(torch.cuda.device_count())]
