"""Run folders on a shared or object store: what one node made, another reads or goes on with. Any store that fsspec knows; torch-free.

    STORE/<experiment>/<job>/files/<writer>-<digest>      content, written once
    STORE/<experiment>/<job>/pushes/<number>-<writer>.json   what one writer changed: paths, digests; written last
    STORE/.jobs/<command>.json                            the run folders that a command has worked in

A run folder is what its pushes, in the order of their numbers, have made of it. Nobody changes what another has written, so nodes need no
lock: two attacks that add their rows to one run at a time both keep them. What a killed push leaves is content that no push names, or a
push whose own digest is wrong: neither is ever read. A writer's later push takes the place of its earlier one.
"""

import importlib
import json
import shutil
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path, PurePosixPath
from typing import Any

from robnas import atomic, jobs
from robnas.errors import UserError
from robnas.identity import file_digest
from robnas.results import keys, merged

ROWS = "results.jsonl"
"""The one file that several jobs write at a time: pushed as the lines that are new, and merged by their keys."""

TRIES = 3
"""How often a store that fails, or changes under one's hands, is asked before that counts as an error."""


class LostError(OSError):
    """What a push names is not there, or is not what it names."""


@dataclass(frozen=True)
class Content:
    """Of a file. at: its name below `files/`."""

    digest: str
    size: int
    at: str


@dataclass
class Folder:
    """A run folder as its pushes say. number: of the last of them; 0: there is none. rows: pieces of results.jsonl, oldest first."""

    number: int = 0
    files: dict[str, Content] = field(default_factory=dict)
    rows: list[Content] = field(default_factory=list)

    def add(self, number: int, push: Mapping[str, Any]) -> None:
        """What a further push says. Raises KeyError or TypeError where it is none."""
        files = {path: Content(*entry) for path, entry in push["files"].items()}
        gone, rows = set(push["removed"]), push["rows"] and Content(*push["rows"])
        if any(PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts for path in files):
            raise KeyError("a path that leads out of the folder")
        self.number = max(self.number, number)
        self.files = {path: content for path, content in self.files.items() if path not in gone} | files
        self.rows = [*([] if ROWS in gone else self.rows), *([rows] if rows else [])]


class Store:
    """A place that all nodes reach.

    Args:
        uri: "s3://bucket/study", "gs://…", "file:///shared/study", a path, …; credentials are the store's own affair (environment).

    Raises:
        UserError: fsspec knows no such store, or its package is not installed.
    """

    def __init__(self, uri: str) -> None:
        try:
            fsspec = importlib.import_module("fsspec")
        except ImportError as error:
            raise UserError("--store needs fsspec: pip install 'robnas[ray]'") from error
        try:
            self.fs, root = fsspec.core.url_to_fs(uri)
        except (ImportError, ValueError) as error:  # "Install s3fs to access S3"; "Protocol not known: s4"
            raise UserError(f"--store {uri}: {' '.join(str(error).split())}") from error
        self.uri, self.root = uri, root.rstrip("/")

    def folder(self, name: str) -> Folder:
        """`<experiment>/<job>` as it is now. Raises OSError."""
        folder = Folder()
        for path in sorted(self._list(f"{name}/pushes")):
            with suppress(FileNotFoundError, ValueError, KeyError, TypeError):  # cut off, or not ours
                folder.add(int(PurePosixPath(path).name.partition("-")[0]), _checked(self.fs.cat_file(path)))
        return folder

    def get(self, name: str, content: Content, target: Path) -> None:
        """A file's content to `target`, whole or not at all. Raises LostError."""
        part = target.with_name(f".{target.name}-{uuid.uuid4().hex[:8]}")
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            self.fs.get_file(f"{self.root}/{name}/files/{content.at}", str(part))
            if file_digest(part) != content.digest:
                raise LostError(f"{self.uri}/{name}/files/{content.at} is not what was pushed")
            part.replace(target)
        except FileNotFoundError as error:
            raise LostError(f"{self.uri}/{name}/files/{content.at} is gone") from error
        finally:
            part.unlink(missing_ok=True)

    def rows(self, name: str, folder: Folder) -> str:
        """Its results.jsonl. Raises LostError."""
        pieces = []
        for content in folder.rows:
            try:
                piece = self.fs.cat_file(f"{self.root}/{name}/files/{content.at}")
            except FileNotFoundError as error:
                raise LostError(f"{self.uri}/{name}/files/{content.at} is gone") from error
            if _digest(piece) != content.digest:
                raise LostError(f"{self.uri}/{name}/files/{content.at} is not what was pushed")
            pieces.append(piece.decode(errors="surrogateescape"))
        return merged(*pieces)

    def write(self, path: str, content: bytes) -> None:
        """Whole or not at all: an object store does so itself, a file system by renaming."""
        self._place(path, lambda target: self.fs.pipe_file(target, content))

    def upload(self, path: str, source: Path) -> None:
        """As `write`, of a file."""
        self._place(path, lambda target: self.fs.put_file(str(source), target))

    def remove(self, path: str) -> None:
        """Be it there or not."""
        with suppress(FileNotFoundError):
            self.fs.rm_file(f"{self.root}/{path}")

    def known(self, command: str) -> list[str]:
        """The run folders that a command has worked in, `<experiment>/<job>`; none where it never ran."""
        self.fs.invalidate_cache()
        try:
            return [str(name) for name in _checked(self.fs.cat_file(f"{self.root}/.jobs/{command}.json"))["folders"]]
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return []

    def remember(self, command: str, folders: list[str]) -> None:
        """For whoever runs the command next."""
        self.write(f".jobs/{command}.json", _sealed({"folders": sorted(folders)}))

    def _place(self, path: str, put: Any) -> None:
        target = f"{self.root}/{path}"
        if "file" not in ((self.fs.protocol,) if isinstance(self.fs.protocol, str) else self.fs.protocol):
            try:
                put(target)
            except FileNotFoundError:  # a store that has folders
                self.fs.makedirs(target.rpartition("/")[0], exist_ok=True)
                put(target)
            return
        part = f"{target}.{uuid.uuid4().hex[:8]}.part"
        Path(target).parent.mkdir(parents=True, exist_ok=True)
        try:
            put(part)
            Path(part).replace(target)
        except BaseException:
            Path(part).unlink(missing_ok=True)
            raise

    def _list(self, path: str) -> list[str]:
        self.fs.invalidate_cache()  # fsspec remembers listings
        try:
            found = self.fs.ls(f"{self.root}/{path}", detail=False)
        except FileNotFoundError:
            return []
        return [str(name) for name in found if str(name).endswith(".json")]


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
        push = _sealed({"files": named, "removed": removed, "rows": piece and [piece.digest, piece.size, piece.at]})
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
        digest = _digest(data)
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


def _digest(content: bytes) -> str:
    return blake2b(content, digest_size=20).hexdigest()


def _sealed(content: dict[str, Any]) -> bytes:
    """JSON that says its own digest."""
    text = json.dumps(content, sort_keys=True)
    return json.dumps({"content": text, "digest": _digest(text.encode())}).encode()


def _checked(data: bytes) -> dict[str, Any]:
    """Raises ValueError, KeyError or TypeError where it is not what `_sealed` made."""
    outer = json.loads(data)
    if _digest(str(outer["content"]).encode()) != outer["digest"]:
        raise ValueError("cut off")
    inner = json.loads(outer["content"])
    if not isinstance(inner, dict):
        raise TypeError("not an object")
    return inner
