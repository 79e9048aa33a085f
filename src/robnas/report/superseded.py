"""Run folders that a study made before its file was changed: what is asked for now is done anew, and the old runs stay where they are."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any


def superseded(root: Path, jobs: Iterable[Mapping[str, Any]]) -> set[str]:
    """Folders, relative to the study's, that trainings and searches of it have made and no job of its plan has now.

    What somebody else put there, or a job made beside its own folder, such as a clean twin, is none of them. jobs: of the plan; none
    where there is no plan.
    """
    now = {str(job.get("folder")) for job in jobs}
    return {folder for note in (root / ".pool").glob("*.done") if (folder := _made(note))} - now if now else set()


def _made(note: Path) -> str:
    """By a `fit`; what another command works in, it did not make."""
    try:
        content = json.loads(note.read_text("utf-8"))
        return str(content["folder"]) if content["argv"][0] == "fit" else ""
    except (OSError, ValueError, TypeError, KeyError, IndexError):
        return ""
