"""What was found: a Row for each number, a store of rows, and what happened to each input. Torch-free."""

from __future__ import annotations

import json
import math
import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from robnas import atomic
from robnas.errors import UserError

STUDY = "ROBNAS_STUDY"
"""Variable of the environment by which a study tells its jobs its name: it is no part of what they do."""


class Number(NamedTuple):
    """A metric of all inputs. value: in its own unit, None where n = 0; n: inputs that it is about; ci: its interval, made by ci_method;
    flags: what makes this number doubtful, or why there is none.
    """

    value: float | None
    n: int
    ci: tuple[float, float] | None = None
    ci_method: str | None = None
    flags: tuple[str, ...] = ()


@dataclass(frozen=True)
class Row:
    """One number with all that is needed to read it.

    Args:
        job: identity of the run that the number is about; "" where there is none.
        study: name of the study that asked for it.
        dataset, model: their names. family: "nas", "manual" or "custom". victim: digest of the weights.
        search_seed, train_seed, attack_seed: of the searcher, of the training, of the attack.
        kind: "search", "train", "attack" or "probe".
        plugin: name of the class in small letters. params: its init arguments.
        protocol: "paper", "artifact", "sound" or "custom".
        access: "white", "score", "label" or "training"; what the attacker sees. norm: "linf", "l2"; what distances are measured in.
        queries: passes through the model, all inputs together.
        metric: "asr", "robust_accuracy", "clean_accuracy", … value: a proportion in [0, 1] or the metric's own unit; None where n = 0.
        n: inputs that `value` is about. eligible: inputs that were attacked. errored: inputs without an answer, in no n.
        ci: interval of `value` with confidence 95%, made by ci_method.
        flags: what makes the number doubtful, a word or a few each ("random", "probabilities", …); empty where nothing was found.
        checks: of an evasion, what it was held against, by name of the check (`attacks.masking`); one that is absent was not made.
        outcomes: file with what happened to each input, or of a probe with its arrays, relative to the folder of the rows.
        seconds: wall clock.
        versions: of robnas and of what it stands on. commit: of the code.
    """

    metric: str
    value: float | None
    job: str = ""
    study: str | None = None
    dataset: str | None = None
    model: str | None = None
    family: str = "custom"
    victim: str | None = None
    search_seed: int | None = None
    train_seed: int | None = None
    attack_seed: int | None = None
    kind: str = "attack"
    plugin: str = ""
    protocol: str = "custom"
    params: dict[str, Any] = field(default_factory=dict)
    access: str | None = None
    norm: str | None = None
    queries: int | None = None
    n: int | None = None
    eligible: int | None = None
    errored: int = 0
    ci: tuple[float, float] | None = None
    ci_method: str | None = None
    flags: list[str] = field(default_factory=list)
    checks: dict[str, Any] = field(default_factory=dict)
    outcomes: str | None = None
    seconds: float | None = None
    versions: dict[str, str] = field(default_factory=dict)
    commit: str | None = None

    @property
    def key(self) -> str:
        """Equal for a re-run of the same measurement: job, plugin, params, metric, victim, attack_seed and dataset."""
        return _key(asdict(self))

    def to_json(self) -> str:
        """One line; fields in the order of the documentation. What is not finite becomes null."""
        mine = plain(asdict(self))
        return json.dumps({name: mine[name] for name in ORDER}, allow_nan=False)

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Row:
        """Fields that a newer version added are passed over. Raises KeyError or TypeError where it is no row."""
        known = {f.name: content[f.name] for f in fields(cls) if f.name in content}
        if known.get("ci") is not None:
            low, high = known["ci"]
            known["ci"] = (low, high)
        return cls(**known)


ORDER = (
    *("job", "study", "dataset", "model", "family", "victim", "search_seed", "train_seed", "attack_seed", "kind", "plugin", "protocol"),
    *("params", "access", "norm", "queries", "metric", "value", "n", "eligible", "errored", "ci", "ci_method", "flags", "checks"),
    *("outcomes", "seconds", "versions", "commit"),
)


class Rows:
    """A file of rows, one JSON object a line. It only grows, but that a re-run replaces its own rows.

    Lines that cannot be read (cut off, or not ours) are named in a warning, passed over, and kept as they are.

    Args:
        path: of the file, e.g. "runs/…/results.jsonl"; made, with its folder, when the first row is written.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    def write(self, rows: Iterable[Row]) -> None:
        """Add rows; those with the same `key` make way. All or nothing, also if killed in between."""
        study = os.environ.get(STUDY)
        new = {row.key: (row if row.study or not study else replace(row, study=study)).to_json() for row in rows}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with _locked(self.path.parent):
            old = [line for line in self._lines() if line.strip() and _line_key(line) not in new]
            self._replace("".join(f"{line}\n" for line in [*old, *new.values()]))

    def amend(self, judge: Callable[[], Mapping[str, Mapping[str, Any]]]) -> None:
        """Change some fields of rows that are there: `Row.key` → fields. All else stays as it is; where nothing is new, so does the file.

        All or nothing, also if killed in between.

        Args:
            judge: called once nobody else can write; what it reads of these rows is what they are when they change.
        """
        with _locked(self.path.parent):
            judged, lines = judge(), self._lines()
            amended = [_amended(line, judged.get(_line_key(line) or "", {})) for line in lines]
            if amended != lines:
                self._replace("\n".join(amended))

    def read(self) -> list[Row]:
        """All rows, oldest first."""
        rows, bad = [], []
        for number, line in enumerate(self._lines(), 1):
            if not line.strip():
                continue
            try:
                rows.append(Row.from_dict(json.loads(line)))
            except (ValueError, TypeError, KeyError, AttributeError):
                bad.append(number)
        if bad:
            warnings.warn(f"{self.path}: line {', '.join(map(str, bad))} cannot be read as a row and is passed over", stacklevel=2)
        return rows

    def write_outcomes(self, name: str, outcomes: Mapping[str, NDArray[Any]], folder: str = "outcomes") -> str:
        """What happened to each input, one array an aspect, `index` among them → the path to put into `Row.outcomes`.

        A probe's arrays are of any shape and stand in another folder.
        """
        relative = Path(folder) / f"{name}.npz"
        path = self.path.parent / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic.replacing(path) as file:
            np.savez_compressed(file, allow_pickle=False, **outcomes)
        return relative.as_posix()

    def read_outcomes(self, row: Row) -> dict[str, NDArray[Any]]:
        """The arrays of `write_outcomes`; those of inputs by `index`. Raises UserError where the row has none or the file is gone."""
        path = self.path.parent / row.outcomes if row.outcomes else None
        if path is None or not path.is_file():
            raise UserError(f"no outcomes per input for {row.plugin} {row.metric} at {path or self.path}")
        with path.open("rb") as file, np.load(file, allow_pickle=False) as content:  # NumPy leaves half a file open
            return dict(content)

    def _lines(self) -> list[str]:
        return self.path.read_bytes().decode(errors="surrogateescape").split("\n") if self.path.exists() else []

    def _replace(self, text: str) -> None:
        with atomic.replacing(self.path) as file:  # bytes that are no text, in a line that is not ours, stay as they were
            file.write(text.encode(errors="surrogateescape"))


def merged(*files: str) -> str:
    """The content of several copies of one file of rows → that of one: a later row takes the place of an earlier one with its key.

    Lines that are no rows are kept, each once.
    """
    kept: dict[str, str] = {}
    for line in (line for text in files for line in text.split("\n") if line.strip()):
        key = _line_key(line) or line
        kept.pop(key, None)
        kept[key] = line
    return "".join(f"{line}\n" for line in kept.values())


def keys(text: str) -> set[str]:
    """`Row.key` of each line that is a row."""
    return {key for line in text.split("\n") if (key := _line_key(line))}


def _key(content: Mapping[str, Any]) -> str:
    same = [content.get("job", ""), content.get("plugin", ""), plain(content.get("params", {})), content["metric"]]
    same += [content.get(name) for name in ("victim", "attack_seed", "dataset")]
    return json.dumps(same, sort_keys=True)


def _line_key(line: str) -> str | None:
    try:
        return _key(json.loads(line))
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


def _amended(line: str, fields: Mapping[str, Any]) -> str:
    """A row's line with other values of some fields; fields that are not ours stay."""
    if not fields:
        return line
    old = json.loads(line)
    new = {**old, **plain(fields)}
    return line if new == old else json.dumps(new)


def plain(value: Any) -> Any:
    """Numbers, strings, lists and dicts alone; ∞ as text, NaN as null."""
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float | np.floating):
        return float(value) if math.isfinite(value) else None if math.isnan(value) else str(float(value))
    return int(value) if isinstance(value, np.integer) else str(value)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """One writer at a time, where the system has locks; the folder itself is locked, so nothing is left behind."""
    try:
        import fcntl
    except ImportError:
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
