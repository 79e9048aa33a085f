"""This machine as an executor: how many jobs it takes at a time, and what each of them gets of its cores and GPUs."""

import os
import shutil
import subprocess
from pathlib import Path

from robnas.errors import require
from robnas.study.pool import Pool


def local(folder: Path, workers: int | None = None, threads: int = 1) -> Pool:
    """A pool of warm workers, not started yet.

    With GPUs there is one job on each unless `workers` asks for more, each with its share of the cores; without, a job for every
    `threads` cores. On the CPU a job always computes with `threads` threads, however many run: sums of floats depend on it in their last
    digits, and rows must not depend on the machine's load.

    Args:
        folder: of the study; logs go below it.
        workers: jobs at a time.
        threads: cores of a job.
    """
    require(workers is None or workers >= 1, f"--workers: {workers} is not at least 1")
    devices = gpus()
    at_a_time = workers or len(devices) or max(1, cores() // threads)
    each = max(threads, cores() // at_a_time) if devices else threads
    return Pool(at_a_time, folder / ".pool", threads=each, quiet=True, devices=devices)


def cores() -> int:
    """That this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on Linux
        return os.cpu_count() or 1


def gpus() -> list[str]:
    """CUDA devices as CUDA_VISIBLE_DEVICES names them, that this process may use; found without torch."""
    if (visible := os.environ.get("CUDA_VISIBLE_DEVICES")) is not None:
        return [device for device in visible.split(",") if device.strip() not in ("", "-1")]
    if (tool := shutil.which("nvidia-smi")) is None:
        return []
    try:
        said = subprocess.run([tool, "--query-gpu=index", "--format=csv,noheader"], capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):  # a driver that does not answer: torch would find no device either
        return []
    return [line.strip() for line in said.stdout.splitlines() if line.strip().isdigit()]
