"""How many seconds of a processor a training takes: a wall clock counts what others do on the same cores, too.

`main` runs commands as robnas does and is made to be the runner of a `robnas.study.Pool`, whose workers find this folder by PYTHONPATH
(`on_path`). It notes the seconds of a `fit` that came to its end in the run folder, and only of one that was begun and ended by the same
command: of a training that was killed in between nobody knows what its first part took.
"""

import json
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from robnas import __main__ as robnas
from robnas import atomic, jobs

RUNNER = "cpu_seconds:main"
FILE = "cpu_seconds.json"


def main(argv: Sequence[str]) -> None:
    """As `robnas`: raises SystemExit. Model, data and the test at the end are counted, imports only where the process is a new one."""
    began, before = time.strftime("%Y-%m-%dT%H:%M:%S%z"), time.process_time()
    try:
        robnas.main(argv)
    finally:
        job = jobs.entered() if argv[0] == "fit" else None
        if job is not None and job.state() == "finished" and job.facts["created"] >= began:
            note = {"created": job.facts["created"], "cpu_seconds": round(time.process_time() - before, 1)}
            atomic.write(job.folder / FILE, json.dumps(note) + "\n")


def read(folder: Path) -> float | None:
    """Of the run in a folder; None where it was not noted, or of a run that made way for this one."""
    path, job = folder / FILE, jobs.job_at(folder)
    note = json.loads(path.read_text("utf-8")) if path.is_file() else {}
    return note["cpu_seconds"] if job is not None and note.get("created") == job.facts.get("created") else None


@contextmanager
def on_path() -> Iterator[None]:
    """Processes that are started in the block find this module."""
    before, here = os.environ.get("PYTHONPATH"), str(Path(__file__).resolve().parent)
    os.environ["PYTHONPATH"] = here if before is None else f"{here}{os.pathsep}{before}"
    try:
        yield
    finally:
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before
