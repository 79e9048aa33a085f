"""A node's copy of run folders, kept in step with a store: what is missing or stale is fetched, what is new is pushed."""

import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from robnas import atomic, jobs
from robnas.identity import file_digest
from robnas.results import keys, merged
from robnas.study.store import ROWS, TRIES, Content, Folder, LostError, Store, digest_of, sealed


class Replica:
    """A folder of run folders that is kept in step with a store.

    Args:
        store: the store.
        root: `<root>/<experiment>/<job>` are the run folders.
        own: nobody else works below `root`. Then a fetched folder is what the store has, and nothing else; where users work too, what only
            they have stays, and their rows are kept beside the store's.
    """

    def __init__(self, store: Store, root: Path, own: bool = True) -> None:
        self.store, self.root, self.own = store, Path(root), own
        self._base: dict[str, tuple[Folder, str]] = {}  # as it was fetched: files, text of the rows
        self._digests: dict[Path, tuple[tuple[int, int, int], str]] = {}
        self._writers: dict[str, tuple[str, dict[str, Content], str]] = {}  # of the running job: its push, what it wrote so far
        self._pushed: dict[str, tuple[Folder, str]] = {}

    def names(self) -> list[str]:
        """The run folders that are here."""
        return sorted(path.parent.relative_to(self.root).as_posix() for path in self.root.glob("*/*/job.json") if _real(path.parent))

    def begin(self) -> None:
        """A job begins: what is pushed from now on is one writer's, and what was pushed so far is what it finds."""
        for name, (folder, rows) in self._pushed.items():
            self._base[name] = folder, rows
        self._writers.clear()
        self._pushed.clear()

    def forget(self, name: str) -> None:
        """Take the run folder away from here."""
        shutil.rmtree(self.root / name, ignore_errors=True)
        self._base.pop(name, None)

    def share(self, name: str) -> None:
        """Both have what either has: a run that is finished here counts, else what the store has.

        Raises:
            OSError: as `fetch` and `push` do.
        """
        folder, note = self.store.folder(name), self.root / name / "job.json"
        there = folder.files.get("job.json")
        job = jobs.job_at(self.root / name)
        ours = job is not None and job.state() == "finished" and (there is None or there.digest != self._digest(note))
        if folder.number and not ours:
            self.fetch(name)
        else:
            self._base[name] = folder, self.store.rows(name, folder)
        self.begin()
        self.push(name)
        self.begin()

    def fetch(self, name: str) -> bool:
        """Make the run folder what the store has; files that are here already are not fetched again → whether the store has it.

        Raises:
            LostError: it is not whole there. OSError: the store cannot be read.
        """
        for attempt in range(TRIES):
            folder = self.store.folder(name)
            try:
                return self._fetch(name, folder)
            except LostError:  # its writer has pushed again in between
                if attempt + 1 == TRIES:
                    raise
                time.sleep(0.2)
        raise AssertionError

    def push(self, name: str, attempt: int = 0) -> bool:
        """Say what has changed in the run folder since it was fetched → whether there was anything.

        attempt: of the job; of two that push at a time, the later one counts.

        Raises:
            LostError: it changes faster than it is read. OSError: the store cannot be written.
        """
        base, base_rows = self._base.get(name, (Folder(), ""))
        writer, wrote, last = self._writers.get(name, (f"{attempt:02d}-{uuid.uuid4().hex[:12]}", {}, ""))
        here = {path.relative_to(self.root / name).as_posix(): path for path in _files(self.root / name)}
        changed: dict[str, Content] = {}
        for relative in sorted(here, key=lambda p: (not p.startswith("checkpoints/"), p)):  # a log may be ahead of a checkpoint, not behind
            if relative != ROWS and (content := self._changed(name, here[relative], base.files.get(relative), writer, wrote)):
                changed[relative] = content
        removed = sorted(set(base.files) - set(here))
        rows = _text(here[ROWS]) if ROWS in here else ""
        if keys(base_rows) - keys(rows):  # it was begun anew
            removed, base_rows = [*removed, ROWS], ""
        new = "".join(f"{line}\n" for line in rows.split("\n") if line.strip() and line not in set(base_rows.split("\n")))
        piece = self._piece(name, new, writer, wrote) if new else None
        if not (changed or removed or piece):
            return False
        named = {path: [c.digest, c.size, c.at] for path, c in changed.items()}
        push = sealed({"files": named, "removed": removed, "rows": piece and [piece.digest, piece.size, piece.at]})
        if push.decode() == last:
            return False
        self.store.write(f"{name}/pushes/{base.number + 1:06d}-{writer}.json", push)  # from here on it is so
        used = {content.at for content in (*changed.values(), *([piece] if piece else []))}
        for at in [at for at in wrote if at not in used]:
            self.store.remove(f"{name}/files/{at}")
            del wrote[at]
        self._writers[name] = writer, wrote, push.decode()
        after = Folder(base.number + 1, {p: c for p, c in base.files.items() if p not in removed} | changed, base.rows)
        self._pushed[name] = after, rows
        return True

    # One file

    def _fetch(self, name: str, folder: Folder) -> bool:
        if not folder.number:
            return False
        home = self.root / name
        before, _ = self._base.get(name, (Folder(), ""))
        order = sorted(folder.files, key=lambda path: (path == "job.json", path))  # the note last: one cut short is no finished job
        for relative in order:
            path, content = home / relative, folder.files[relative]
            if not path.is_file() or self._digest(path) != content.digest:
                self.store.get(name, content, path)
        rows = self.store.rows(name, folder)
        here = _text(home / ROWS)
        together = rows if self.own else merged(here, rows)
        if together != here:
            with atomic.replacing(home / ROWS) as file:
                file.write(together.encode(errors="surrogateescape"))
        gone = {p.relative_to(home).as_posix(): p for p in _files(home)} if self.own else {p: home / p for p in before.files}
        for relative, path in gone.items():
            if relative not in folder.files and relative != ROWS:
                path.unlink(missing_ok=True)
        self._base[name] = folder, rows
        return True

    def _changed(self, name: str, path: Path, base: Content | None, writer: str, wrote: dict[str, Content]) -> Content | None:
        for _ in range(TRIES):
            before = _stamp(path)
            if before is None:  # removed in between, as a checkpoint is that makes way
                return None
            digest = self._digest(path)
            if base is not None and base.digest == digest:
                return None
            content = Content(digest, before[0], f"{writer}-{digest}")
            if content.at not in wrote:
                with suppress(FileNotFoundError):
                    self.store.upload(f"{name}/files/{content.at}", path)
            if _stamp(path) == before:  # it was written to or replaced neither before nor while it was read
                wrote[content.at] = content
                return content
            wrote.pop(content.at, None)
        raise LostError(f"{path} changes faster than it is read")

    def _piece(self, name: str, text: str, writer: str, wrote: dict[str, Content]) -> Content:
        data = text.encode(errors="surrogateescape")
        digest = digest_of(data)
        content = Content(digest, len(data), f"{writer}-{digest}")
        if content.at not in wrote:
            self.store.write(f"{name}/files/{content.at}", data)
            wrote[content.at] = content
        return content

    def _digest(self, path: Path) -> str:
        stamp = _stamp(path)
        known = self._digests.get(path)
        if stamp is None or known is None or known[0] != stamp:
            known = (stamp or (0, 0, 0), file_digest(path))
            self._digests[path] = known
        return known[1]


def _files(folder: Path) -> Iterator[Path]:
    """What belongs to a run folder: no links, no locks, nothing that is being written."""
    if folder.is_dir():
        for path in folder.rglob("*"):
            if path.is_file() and not path.is_symlink() and not path.name.startswith("."):
                yield path


def _real(folder: Path) -> bool:
    return not folder.is_symlink()


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        stat = path.stat()
    except FileNotFoundError:
        return None
    return stat.st_size, stat.st_mtime_ns, stat.st_ino


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode(errors="surrogateescape")
    except FileNotFoundError:
        return ""
