"""Before the first job: no class lacks an argument that a flag is about. A misspelt flag of an attack would else be met after the training.

Classes have to be imported for that, so another process does it, once for jobs that differ in values alone.
"""

import json
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from robnas import atomic
from robnas._version import __version__
from robnas.configuration import files
from robnas.errors import UserError
from robnas.identity import file_digest, identity_of
from robnas.study import layers
from robnas.study.plan import PlannedJob


def check(jobs: Sequence[PlannedJob], folder: Path) -> str:
    """What to `remember` of it. jobs: the plan's. folder: of the study; where it remembers the same, nothing is looked at again.

    Raises:
        UserError: for the first command with a key that its class has not.
    """
    by_id, asked = {job.id: job for job in jobs}, dict[str, dict[str, Any]]()
    for job in jobs:
        run = next((by_id[need] for need in job.needs if by_id[need].kind == "train"), None)
        asked.setdefault(f"{_shape(job)} {_shape(run)}", {"id": job.id, "argv": job.argv, "of": run.argv if run else None})
    digest = identity_of({"asked": list(asked), "robnas": __version__}, map(file_digest, _configs(jobs)))
    if _place(folder).is_file() and _place(folder).read_text("utf-8").strip() == digest:
        return digest
    given = json.dumps(list(asked.values()))
    command = [sys.executable, "-m", "robnas.study.keys"]
    process = subprocess.run(command, input=given, capture_output=True, text=True, check=False)
    try:
        wrong = json.loads(process.stdout.splitlines()[-1])
    except (ValueError, IndexError):  # it could not even begin: jobs say why
        return ""
    if wrong:
        raise UserError(f"{wrong['id']}: {wrong['said']}")
    return digest


def remember(folder: Path, digest: str) -> None:
    """That all is well, for when the study goes on."""
    if digest:
        atomic.write(_place(folder), f"{digest}\n")


def _place(folder: Path) -> Path:
    return folder / ".pool" / "keys.checked"


def _configs(jobs: Iterable[PlannedJob]) -> list[Path]:
    return [files.find(name) for name in sorted({name for job in jobs for name in layers.asked(tuple(job.argv[1:])).configs})]


def _shape(job: PlannedJob | None) -> str:
    """What decides on keys: verb, configs, names of flags, and values that may be classes."""
    if job is None:
        return ""
    asked = layers.asked(tuple(job.argv[1:]))
    flags = sorted((name, value if name.count(".") < 2 and isinstance(value, str) else None) for name, value in asked.edits)
    kept = [flag for flag in flags if flag[0] not in ("runs", "init_from", "model.network")]
    return json.dumps([job.argv[0], asked.configs, kept], default=str)
