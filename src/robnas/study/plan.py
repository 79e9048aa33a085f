"""`plan.json`: every job of a study and how it stands. Written by the study before the first job and as jobs end; read by the report."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from robnas import atomic
from robnas.errors import UserError

Kind = Literal["search", "train", "attack", "probe"]
State = Literal["waiting", "running", "done", "failed", "blocked"]

NAME = "plan.json"


@dataclass
class PlannedJob:
    """A command of the study.

    Args:
        id: short and stable, e.g. "train/darts/0/clean".
        kind: of its rows; an attack that trains is an "attack".
        argv: without "robnas"; `{id}` stands for the run folder of that job until it is there.
        needs: ids of jobs that must be done before.
        block: its name in the study file. what: the same of attacks and probes; None of searches and trainings.
        also: ids of jobs that would have been the same command, and are done with it.
        exhibits: tables and figures of the paper that its rows are for.
        model, family, dataset, seed, protocol: as rows have them; the seed is the training's, of a search its own.
        reduced: it is not at the paper's size: under an overlay or a scale.
        state: "failed" after its second attempt; "blocked" where something it needs has failed.
        folder: its run folder, of an evaluation the (first) victim's, relative to the study's; None until it is known.
        log: file with what it printed, relative to the study's folder. error: one line. seconds: of its last attempt.
    """

    id: str
    kind: Kind
    argv: list[str]
    needs: list[str] = field(default_factory=list)
    what: str | None = None
    exhibits: list[str] = field(default_factory=list)
    model: str = ""
    family: str = "custom"
    dataset: str = ""
    seed: int = 0
    protocol: str = "custom"
    reduced: bool = False
    state: State = "waiting"
    folder: str | None = None
    log: str | None = None
    error: str | None = None
    seconds: float | None = None
    attempts: int = 0
    block: str = ""
    also: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        if not self.block:  # the plan of an older version: its ids had no further slashes
            part = self.id.split("/")[1 if self.kind == "search" else 3 :][:1]
            self.block = self.what or "".join(part)


@dataclass
class Plan:
    """study: its name. file: the study file as it was asked for. robnas: version. created: ISO 8601. jobs: each after what it needs."""

    study: str
    file: str
    robnas: str
    created: str
    jobs: list[PlannedJob]

    def write(self, folder: Path) -> None:
        """Into `folder`/plan.json, whole or not at all."""
        atomic.write(folder / NAME, json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n")

    @classmethod
    def read(cls, folder: Path) -> "Plan | None":
        """What `folder`/plan.json says; None where there is none. Fields that a newer version added are passed over.

        Raises:
            UserError: it is no plan.
        """
        path = folder / NAME
        try:
            content = json.loads(path.read_text("utf-8"))
            jobs = [PlannedJob(**_known(PlannedJob, job)) for job in content["jobs"]]
            return cls(**{**_known(cls, content), "jobs": jobs})
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise UserError(f"{path} is no plan of a study: {' '.join(str(error).split())}") from error


def _known(cls: type, content: Mapping[str, Any]) -> dict[str, Any]:
    return {f.name: content[f.name] for f in fields(cls) if f.name in content}
