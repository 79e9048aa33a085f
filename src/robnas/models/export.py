"""A trained model as a folder to hand on: `model.safetensors`, `config.json` and `README.md`, its card. Nothing in it is executed."""

import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from robnas import atomic
from robnas.errors import UserError, require, short
from robnas.identity import file_digest
from robnas.models import export_config
from robnas.models.build import ARCHITECTURE, with_weights
from robnas.models.normalize import Normalized

WEIGHTS, CONFIG, CARD = "model.safetensors", "config.json", "README.md"
FORMAT = "robnas export 1"
"""What config.json calls itself; another number is another format."""


def write(out: Path, architecture: Mapping[str, Any], state: Mapping[str, Tensor], facts: Mapping[str, Any], card: str) -> None:
    """Make the folder, or bring an export that is there up to date; what else lies in it (a repository's files, say) stays.

    A new folder appears whole or not at all. In one that is there each file is replaced whole, config.json last: it holds the digest of
    the weights, so that a mixture of old and new is found out.

    Args:
        out: the folder; may exist if it is empty or an export.
        architecture: as in a checkpoint; the keys `ARCHITECTURE` are kept.
        state: the model's `state_dict`.
        facts: further plain values for config.json.
        card: the text of README.md.

    Raises:
        UserError: `out` is a file, a folder of something else, or nowhere that can be written to.
    """
    refuse(out)
    try:
        _write(out, architecture, state, facts, card)
    except OSError as error:
        raise UserError(f"{out} cannot be written: {error.strerror or error}") from error


def _write(out: Path, architecture: Mapping[str, Any], state: Mapping[str, Tensor], facts: Mapping[str, Any], card: str) -> None:
    from safetensors.torch import save_file

    fresh = not out.exists()
    if fresh:
        out.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=out.parent if fresh else out, prefix=f".{out.name}-"))
    try:
        save_file({k: v.detach().cpu().contiguous().clone() for k, v in state.items()}, folder / WEIGHTS, metadata={"format": "pt"})
        (folder / CARD).write_text(card, "utf-8")
        kept = {key: architecture[key] for key in ARCHITECTURE if key in architecture}
        content = {"format": FORMAT, "architecture": kept, "weights": {"blake2b": file_digest(folder / WEIGHTS)}, **facts}
        (folder / CONFIG).write_text(json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n", "utf-8")
        for name in (WEIGHTS, CARD, CONFIG):
            (folder / name).chmod(0o644)
            with (folder / name).open("rb") as file:
                os.fsync(file.fileno())
        if fresh:
            folder.chmod(0o755)
            folder.replace(out)
        else:
            for name in (WEIGHTS, CARD, CONFIG):
                (folder / name).replace(out / name)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    atomic.sync(out.parent if fresh else out)


def refuse(out: Path, run: str | None = None) -> None:
    """Raise UserError where `write` would have to write over something else: of a `run`, "classify/0123456789ab", also another run's."""
    try:
        require(not out.exists() or out.is_dir(), f"{out} is a file; an export is a folder")
        mine = not out.exists() or is_export(out) or not any(out.iterdir())
    except OSError as error:
        raise UserError(f"{out} cannot be written: {error.strerror or error}") from error
    require(mine, f"{out} is not empty and is no export of robnas's: nothing is written over; give another folder")
    if run is not None and is_export(out):
        theirs = json.loads((out / CONFIG).read_text("utf-8")).get("run")
        same = str(theirs).rpartition("/")[2] == run.rpartition("/")[2]  # the job: the experiment is but a label
        require(same, f"{out} is the export of {short(theirs or 'another run')}: --overwrite replaces it, or give another folder")


def is_export(path: str | Path) -> bool:
    """Whether a folder, or the file of weights in it, is an export."""
    folder = _folder(Path(path))
    try:
        content = json.loads((folder / CONFIG).read_text("utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(content, dict) and str(content.get("format", "")).startswith("robnas export")


def read_config(path: Path) -> dict[str, Any]:
    """config.json of an export. Raises UserError where it is of another format or says too little."""
    folder = _folder(path)
    require(is_export(folder), f"{folder} is no export of robnas's: there is no {CONFIG} that says so")
    content: dict[str, Any] = json.loads((folder / CONFIG).read_text("utf-8"))
    require(content["format"] == FORMAT, f"{folder / CONFIG} is of the format {content['format']!r}; this version reads {FORMAT!r}")
    architecture = content.get("architecture")
    missing = [k for k in ARCHITECTURE if not isinstance(architecture, dict) or k not in architecture]
    require(not missing, f"{folder / CONFIG}: its architecture lacks {', '.join(missing)}")
    try:
        export_config.check(content)
    except UserError as error:
        raise UserError(f"{folder / CONFIG}: {error}") from error
    return content


def load(path: Path) -> Normalized:
    """The model of an export: the same bits, and so the same logits, as those of the run that it came from.

    Raises:
        UserError: a part is missing, damaged or not of the other's making.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    content = read_config(path)
    file = _folder(path) / WEIGHTS
    require(file.is_file(), f"{file} is missing")
    same = file_digest(file) == content["weights"]["blake2b"]
    require(same, f"{file} is not the file that {CONFIG} beside it was written for (damaged, or half of another export): export it again")
    try:
        state = load_file(file)
    except (SafetensorError, OSError) as error:
        raise UserError(f"{file} cannot be read as safetensors: {' '.join(str(error).split())[:200]}") from error
    model = with_weights(content["architecture"], state, str(file))
    model.attacked, model.defended = (dict(content.get(mark) or {}) for mark in ("attacked", "defended"))
    return model


def _folder(path: Path) -> Path:
    return path.parent if path.name == WEIGHTS else path
