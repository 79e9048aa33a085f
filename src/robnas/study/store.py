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
import uuid
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path, PurePosixPath
from typing import Any

from robnas.errors import UserError
from robnas.identity import file_digest
from robnas.results import merged

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
                folder.add(int(PurePosixPath(path).name.partition("-")[0]), checked(self.fs.cat_file(path)))
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
            if digest_of(piece) != content.digest:
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
            return [str(name) for name in checked(self.fs.cat_file(f"{self.root}/.jobs/{command}.json"))["folders"]]
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return []

    def remember(self, command: str, folders: list[str]) -> None:
        """For whoever runs the command next."""
        self.write(f".jobs/{command}.json", sealed({"folders": sorted(folders)}))

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


def digest_of(content: bytes) -> str:
    """As `file_digest` of a file with this content."""
    return blake2b(content, digest_size=20).hexdigest()


def sealed(content: dict[str, Any]) -> bytes:
    """JSON that says its own digest."""
    text = json.dumps(content, sort_keys=True)
    return json.dumps({"content": text, "digest": digest_of(text.encode())}).encode()


def checked(data: bytes) -> dict[str, Any]:
    """Raises ValueError, KeyError or TypeError where it is not what `sealed` made."""
    outer = json.loads(data)
    if digest_of(str(outer["content"]).encode()) != outer["digest"]:
        raise ValueError("cut off")
    inner = json.loads(outer["content"])
    if not isinstance(inner, dict):
        raise TypeError("not an object")
    return inner
