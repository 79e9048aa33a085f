"""What a study will cost before any of it runs: multiply-adds and queries by formula, hours from what was measured. Torch-free."""

import csv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files as resources
from pathlib import Path
from statistics import fmean
from typing import Any

from robnas.errors import UserError
from robnas.models.sizes import sizes
from robnas.space import published
from robnas.space.size import size
from robnas.study.layers import asked, merged
from robnas.study.plan import Plan, PlannedJob
from robnas.study.queries import arguments, class_of, is_white_box, number, queries

IMAGES = {"cifar10": (50_000, 10_000), "cifar100": (50_000, 10_000), "imagenet32": (77_000, 3_000), "digits": (1_437, 360)}
"""Training and test images; of the 60 classes of ImageNet32 about so many."""
BACKWARD = 3
"""A pass forward and back costs three forward: one each for the gradients of inputs and of weights."""


@dataclass(frozen=True)
class Cost:
    """flops: multiply-adds, None where the size of the network is not known beforehand; queries: passes of an attack, at most."""

    flops: float | None = None
    queries: int = 0


def cost(job: PlannedJob) -> Cost:
    """Of one job at the paper's size; of a reduced one only its queries, and those are a bound: a scale makes them fewer."""
    flags = asked(tuple(job.argv[1:]))
    config = merged(flags)
    train, test = IMAGES.get(job.dataset, (0, 0))
    attacks = [block for block in (config.get("attacks") or {}).values() if isinstance(block, dict)]
    asks = sum(queries(block, test) for block in attacks) * max(1, len(flags.runs))
    per_image = None if job.reduced or job.kind == "search" else _flops(config, job)
    if per_image is None:
        return Cost(None, asks)
    if job.argv[0] == "fit":
        return Cost(_images(config, attacks, train) * BACKWARD * per_image, asks)
    passes = BACKWARD if any(is_white_box(block) for block in attacks) else 1
    return Cost(asks * passes * per_image if job.kind == "attack" else None, asks)


def _images(config: Mapping[str, Any], attacks: Iterable[Mapping[str, Any]], train: int) -> float:
    """That a training sees, each as often as it is passed forward and back: with adversarial training once more for each step."""
    data = arguments(config.get("data"))
    share = (1 - number(data.get("validation"), 0.1)) * number(data.get("members"), 1.0)
    stolen = next((number(arguments(block).get("budget"), 0) for block in attacks if class_of(block) == "knockoff"), 0)
    inner = arguments(config.get("model")).get("attack")
    passes = 1 + (number(arguments(inner).get("steps"), 7) if isinstance(inner, dict) else 0)
    return (stolen or train * share) * number((config.get("trainer") or {}).get("max_epochs"), 600) * passes


def hours(jobs: Iterable[PlannedJob], measured: Iterable[PlannedJob] = ()) -> tuple[float, int]:
    """(worker-hours of the jobs whose like was measured, number of jobs without a measurement).

    measured: jobs of this folder that are done; they count more than the shipped table, which is of reduced jobs on one CPU thread.
    """
    table: dict[tuple[str, ...], list[float]] = {}
    for row in _table():
        for key in (("", row["dataset"], row["kind"], row["block"], row["model"]), ("", row["dataset"], row["kind"], row["block"])):
            table.setdefault(key, []).append(float(row["seconds"]))
    for job in measured:
        if job.state == "done" and job.seconds is not None:
            for key in (("own", job.dataset, job.kind, block_of(job), job.model), ("own", job.dataset, job.kind, block_of(job))):
                table.setdefault(key, []).append(job.seconds)
    seconds, unknown = 0.0, 0
    for job in jobs:
        keys = [(job.dataset, job.kind, block_of(job), job.model), (job.dataset, job.kind, block_of(job))]
        known = [(origin, *key) for origin in ("own", *([""] if job.reduced else [])) for key in keys]
        found = next((table[key] for key in known if key in table), None)
        seconds, unknown = seconds + (fmean(found) if found else 0.0), unknown + (found is None)
    return seconds / 3600, unknown


def block_of(job: PlannedJob) -> str:
    """Name of the job's block in the study file."""
    return job.block


@cache
def _table() -> list[dict[str, str]]:
    with (resources("robnas.study") / "measured.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(line for line in file if not line.startswith("#")))


def _flops(config: Mapping[str, Any], job: PlannedJob) -> float:
    """Multiply-adds of an image; of a search's cell those of DARTS, of other data sets than CIFAR10 without their larger last layer."""
    name = str(arguments(config.get("model")).get("network") or job.model)
    if name in sizes():
        return float(sizes()[name].flops)
    try:
        return float(size(published.find(name)).flops)
    except (UserError, OSError):
        like = "darts" if job.family == "nas" or not job.model else job.model
        return float(sizes().get(like, sizes()["resnet"]).flops)


def measured_in(folder: Path) -> list[PlannedJob]:
    """Jobs of a study that are done; none where there is no plan that can be read."""
    try:
        plan = Plan.read(folder)
    except UserError:
        return []
    return [job for job in plan.jobs if job.state == "done"] if plan else []
