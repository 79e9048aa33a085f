"""The run folders below a study's folder, and what their notes say. Reads nothing but job.json and the scale in config.yaml."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from robnas import jobs

SKIPPED = {"checkpoints", "outcomes", "figures", "wandb", "children", "tables", "__pycache__"}
"""Folders in which no rows lie."""
HELPERS = (jobs.CHILDREN, "-shadows")
"""How an experiment's name ends whose models only serve another job: their rows are no results of the study."""

_SCALE = re.compile(r"^scale: *['\"]?([A-Za-z_]\w*)", re.MULTILINE)


@dataclass(frozen=True)
class RunFolder:
    """A run folder. folder: where; place: relative to the study's folder, "classify/3fa9c1"; facts: its job.json, {} without one."""

    folder: Path
    place: str
    facts: dict[str, Any]
    files: frozenset[str] = frozenset()

    @cached_property
    def identity(self) -> str:
        """40 hexadecimal digits; "" of a folder without a note."""
        return str(self.facts.get("identity") or "")

    @property
    def name(self) -> str:
        """What `RUN` may be called in commands: the folder's own name."""
        return self.folder.name

    @property
    def state(self) -> str:
        """ "finished", "unfinished", or "unknown" without a note."""
        return "unknown" if not self.facts else "finished" if self.facts.get("state") == "finished" else "unfinished"

    @property
    def command(self) -> list[str]:
        """The words it was last started with; [] where nobody noted them."""
        words = self.facts.get("command")
        return [str(word) for word in words] if isinstance(words, list) else []

    @property
    def versions(self) -> dict[str, str]:
        """Of what it ran on."""
        found = self.facts.get("versions")
        return {str(k): str(v) for k, v in found.items()} if isinstance(found, dict) else {}

    @property
    def helper(self) -> bool:
        """Whether it only serves another job: a search's child, a membership attack's shadow."""
        return self.folder.parent.name.endswith(HELPERS)

    @cached_property
    def scale(self) -> str | None:
        """ "tiny" where its configuration says so; None at full size."""
        found = _SCALE.search(self.config)
        return None if found is None or found[1] == "null" else found[1]

    @property
    def reduced(self) -> str:
        """Why its configuration is not of the paper's size; "" where it is."""
        return f"scale {self.scale}" if self.scale not in (None, "paper") else ""

    @cached_property
    def adversarial(self) -> bool:
        """Whether its model was trained on adversarial images."""
        return "AdversarialClassifier" in self.config

    @cached_property
    def config(self) -> str:
        """The text of its config.yaml, "" where there is none."""
        try:
            with (self.folder / "config.yaml").open("rb") as file:
                return file.read().decode("utf-8", errors="replace").replace("\r\n", "\n")
        except OSError:
            return ""


def walk(root: Path) -> Iterator[tuple[Path, list[str]]]:
    """(folder, its files) of every folder below `root` in which rows may lie, in order of names; links are not followed."""
    for folder, below, files in os.walk(root):
        below[:] = sorted(d for d in below if d not in SKIPPED and not d.startswith(".") and not os.path.islink(f"{folder}/{d}"))  # noqa: PTH114
        yield Path(folder), sorted(files)


def read_facts(path: Path) -> dict[str, Any]:
    """A job.json. Raises ValueError where it is none, OSError where it cannot be read."""
    with path.open("rb") as file:
        content = json.loads(file.read().decode("utf-8"))
    if not isinstance(content, dict) or not isinstance(content.get("identity"), str):
        raise ValueError("no note of a job")
    return content
