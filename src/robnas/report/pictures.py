"""Figures become SVGs in a second process, while this one goes on to the next: to draw takes as long as all else of a report.

A figure is sent as it is (matplotlib's are made to be pickled), so that the other process needs no rows. Either way the same code
draws, and texts are the same to the byte.
"""

from __future__ import annotations

import gc
import os
import pickle
import subprocess
import sys
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import cached_property
from typing import Any, BinaryIO

from robnas.report.files import svg


class Picture:
    """A figure on its way to an SVG. asked: the other process's answer, None where it is drawn here."""

    def __init__(self, figure: Any, name: str, asked: Future[str | None] | None) -> None:
        self.figure, self.name, self.asked = figure, name, asked

    @cached_property
    def svg(self) -> str:
        """Waits where it is being drawn; draws where nobody has begun, or where the other process could not. Raises what drawing raises."""
        told = None if self.asked is None or self.asked.cancel() else self.asked.result()
        return told if told is not None else svg(self.figure, self.name)


class Pictures:
    """Takes figures in any order. A context manager: leaving it ends the other process.

    apart: whether there is another process; None: if there is a second core.
    """

    def __init__(self, apart: bool | None = None) -> None:
        self._process = _begin() if (_cores() > 1 if apart is None else apart) else None
        self._thread = ThreadPoolExecutor(1)  # speaks to the process: what is written into a full pipe waits until it is read
        self._sent: list[Picture] = []

    def __enter__(self) -> Pictures:
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.shutdown(cancel_futures=True)
        if self._process is not None:
            if not self._sent:
                self._process.kill()
            self._process.communicate()

    def start(self, figure: Any, name: str) -> Picture:
        """From now on it may be drawn. name: as `files.svg` has it."""
        try:
            asked = None if self._process is None else self._thread.submit(self._ask, pickle.dumps((figure, name)))
        except Exception:  # whatever a figure holds that cannot be sent
            asked = None
        self._sent.append(Picture(figure, name, asked))
        return self._sent[-1]

    def help(self) -> None:
        """Nothing else is left to do here: draw what was sent last, until the other process has begun all that is left."""
        for picture in reversed(self._sent):
            if picture.asked is not None and picture.asked.cancel():
                with suppress(Exception):  # it is raised again where the picture is asked for
                    _ = picture.svg

    def _ask(self, told: bytes) -> str | None:
        assert self._process is not None
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(b"%d\n" % len(told))
            self._process.stdin.write(told)
            self._process.stdin.flush()
            answer: str | None = pickle.load(self._process.stdout)
        except (OSError, EOFError, pickle.UnpicklingError):  # it is gone
            return None
        return answer


def _begin() -> subprocess.Popen[bytes] | None:
    """By a command, as `spawn` would run the caller's own main module again."""
    command, pipe = [sys.executable, "-m", __name__], subprocess.PIPE
    try:
        return subprocess.Popen(command, stdin=pipe, stdout=pipe, start_new_session=True)  # Ctrl-C is this process's to answer
    except OSError:
        return None


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def serve(read: BinaryIO, write: BinaryIO) -> None:
    """The other process: a figure and its name → its SVG, None where it cannot be drawn; until nothing more comes."""
    gc.disable()  # a figure is thousands of objects, and to look for garbage among them takes as long as to unpickle them
    import matplotlib.backends.backend_svg
    import matplotlib.figure  # noqa: F401  # while the first process reads rows

    while length := read.readline():
        told = read.read(int(length))
        try:
            answer: str | None = svg(*pickle.loads(told))
        except Exception:  # the first process draws it again, and says what is wrong with it
            answer = None
        pickle.dump(answer, write)
        write.flush()


def main() -> None:
    """What is printed by accident goes to the standard error."""
    out, sys.stdout = sys.stdout.buffer, sys.stderr
    serve(sys.stdin.buffer, out)


if __name__ == "__main__":
    main()
