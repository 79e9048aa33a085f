"""A warm process that runs one command after another: what takes seconds to import is imported once.

    python -m robnas.study.worker POOL MODULE:FUNCTION PRELOAD…

POOL is the process that started this one. Each line on standard input is a job, {"argv": […], "log": "file"}; each line on standard
output says how one ended, {"status": 0, "folder": "its run folder, if it had one"}. The function takes argv and returns an exit status
(None is 0), or raises SystemExit. What a job prints goes to its log.
"""

import importlib
import json
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable
from typing import Any, TextIO

from robnas import jobs, locks


def main(pool: int, runner: str, preload: list[str]) -> None:
    """Until standard input ends, or the process `pool` is gone."""
    orders, answers = os.fdopen(os.dup(0)), os.fdopen(os.dup(1), "w")
    with open(os.devnull) as nothing:  # noqa: PTH123
        os.dup2(nothing.fileno(), 0)  # a job that asks gets no answer
    os.dup2(2, 1)
    locks.patient = True  # nobody is there who could be told to wait
    threading.Thread(target=_end_with, args=(pool,), daemon=True).start()
    for module in preload:
        importlib.import_module(module)
    module, _, name = runner.partition(":")
    function = getattr(importlib.import_module(module), name)
    _say(answers, {"ready": os.getpid()})
    for line in orders:
        job = json.loads(line)
        jobs.leave()
        status = run(function, job["argv"], job["log"])
        _say(answers, {"status": status, "folder": str(at.folder) if (at := jobs.entered()) else None})


def run(function: Callable[[list[str]], int | None], argv: list[str], log: str) -> int:
    """One job → its exit status, as if it had been a process of its own; 1 for an exception, whose traceback is in the log."""
    environment, folder, arguments = dict(os.environ), os.getcwd(), sys.argv  # noqa: PTH109
    with open(log, "a", encoding="utf-8") as file:  # noqa: PTH123
        kept = os.dup(1), os.dup(2)
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
        sys.argv = ["robnas", *argv]
        try:
            print(f"$ robnas {' '.join(argv)}", flush=True)
            return int(function(argv) or 0)
        except SystemExit as end:
            return end.code if isinstance(end.code, int) else int(end.code is not None)
        except BaseException:
            traceback.print_exc()
            return 1
        finally:
            locks.release_all()
            sys.stdout.flush()
            sys.stderr.flush()
            for descriptor, original in zip(kept, (1, 2), strict=True):
                os.dup2(descriptor, original)
                os.close(descriptor)
            os.environ.clear()
            os.environ.update(environment)
            os.chdir(folder)
            sys.argv = arguments


def _say(answers: TextIO, what: dict[str, Any]) -> None:
    answers.write(json.dumps(what) + "\n")
    answers.flush()


def _end_with(parent: int) -> None:
    """A pool that was killed must not leave a job behind that holds its folder against the next one."""
    while os.getppid() == parent:
        time.sleep(0.2)
    os._exit(1)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], sys.argv[3:])
