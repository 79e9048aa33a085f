"""The queries of a theft on disk: no answer that was kept is asked for again, and what may have been asked twice is counted so."""

from __future__ import annotations

import io
import os
import time
from pathlib import Path
from typing import NamedTuple
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from robnas import atomic
from robnas.errors import UserError

FILE, PART = "queries.npz", "queries.part"
Array = NDArray[np.generic]


class Table(NamedTuple):
    """All queries of a theft. index: [Q] of the pool's data set; answers: [Q, m]; asked: images that the victim was sent, at most; more:
    further columns, [Q] each.
    """

    index: Array  # type: ignore[assignment]  # hides tuple.index, which nobody needs here
    answers: Array
    asked: int
    more: dict[str, Array]


class Ledger:
    """While it runs a theft writes into `queries.part`: what will be asked, then, once it is there, the answer.

    Killed in between, nobody knows whether the victim has answered: these few are asked again, and counted twice. So `asked` is never
    less than what the victim was sent; it is more only where a kill came between the note and the question. All else is asked once.
    When all is asked, the whole table takes its place as `queries.npz`.

    Args:
        folder: of the run.
        theft: names victim, pool, seed and all else; what a folder knows of another theft is thrown away.
    """

    def __init__(self, folder: Path, theft: str) -> None:
        self.file, self.part, self.theft = folder / FILE, folder / PART, theft
        self.past: list[tuple[Array, Array]] = []
        self._again, self._synced = 0, 0.0
        self._noted: list[tuple[Array, Array]] = []
        self._asking: Array | None = None

    def table(self) -> Table | None:
        """What is known where all was asked; else None, and `past` is what was asked. Raises UserError where the file is damaged."""
        if self.file.is_file():
            try:
                with self.file.open("rb") as file, np.load(file, allow_pickle=False) as content:
                    found = dict(content)
                if str(found.pop("theft")) == self.theft:
                    self.part.unlink(missing_ok=True)
                    return Table(found.pop("index"), found.pop("answers"), int(found.pop("asked")), found)
            except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
                raise UserError(f"{self.file} cannot be read ({' '.join(str(error).split())[:100]}): --overwrite asks anew") from error
        self._read()
        return None

    def will_ask(self, index: Array) -> None:
        """Before a question. index: [n]."""
        self._asking = index
        self._write(index)

    def was_answered(self, answers: Array) -> None:
        """After it. answers: [n, m]."""
        assert self._asking is not None, "will_ask comes first"
        self._write(answers)
        self._noted.append((self._asking, answers))
        self._asking = None

    def finish(self, **more: Array) -> Table:
        """All is asked. more: further columns, [Q] each."""
        pairs = [*self.past, *self._noted]
        index, answers = (np.concatenate([pair[k] for pair in pairs]) for k in (0, 1))
        asked = len(index) + self._again
        with atomic.replacing(self.file) as file:
            columns = {"index": index, "answers": answers, "asked": np.array(asked), **more}
            np.savez_compressed(file, allow_pickle=False, theft=np.array(self.theft), **columns)
        self.part.unlink(missing_ok=True)
        return Table(index, answers, asked, more)

    def _write(self, array: Array) -> None:
        """A kill takes nothing of what was written; a loss of power may take the last second, which is then asked again uncounted."""
        record = io.BytesIO()
        np.lib.format.write_array(record, array, allow_pickle=False)
        with self.part.open("ab") as file:
            file.write(record.getvalue())
            file.flush()
            if time.monotonic() - self._synced > 1:
                os.fsync(file.fileno())
                self._synced = time.monotonic()

    def _read(self) -> None:
        """Whole records; a torn one at the end, which a kill has left, is cut off."""
        records, end = _records(self.part)
        if not records or str(records[0]) != self.theft:
            self.part.parent.mkdir(parents=True, exist_ok=True)
            self.part.unlink(missing_ok=True)
            self._write(np.array(self.theft))
            atomic.sync(self.part.parent)
            return
        os.truncate(self.part, end)
        asking: Array | None = None
        for record in records[1:]:
            if record.ndim == 2 and asking is not None:
                self.past.append((asking, record))
                asking = None
            else:
                self._again += 0 if asking is None else len(asking)
                asking = record
        self._again += 0 if asking is None else len(asking)


def _records(path: Path) -> tuple[list[Array], int]:
    """All whole ones, and where the last of them ends."""
    records: list[Array] = []
    end = 0
    if path.is_file():
        with path.open("rb") as file:
            while True:
                try:
                    records.append(np.lib.format.read_array(file, allow_pickle=False))
                except (ValueError, EOFError, OSError):
                    return records, end
                end = file.tell()
    return records, end
