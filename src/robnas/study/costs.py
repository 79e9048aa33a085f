"""What a study will cost before any of it runs: multiply-adds and queries by formula, hours from what was measured. Torch-free."""

import csv
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files as resources
from pathlib import Path
from statistics import fmean
from typing import Any

from robnas.configuration import files, flags, reading
from robnas.configuration.merging import merge
from robnas.errors import UserError
from robnas.models.sizes import sizes
from robnas.space import published
from robnas.space.size import size
from robnas.study.plan import PlannedJob
from robnas.units import fraction

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
    asked = flags.parse(job.argv[1:])
    config = _merged(asked)
    train, test = IMAGES.get(job.dataset, (0, 0))
    queries = sum(_queries(block, test) for block in (config.get("attacks") or {}).values() if isinstance(block, dict))
    per_image = None if job.reduced or job.kind == "search" else _flops(config, asked, job)
    if per_image is None:
        return Cost(None, queries * max(1, len(asked.runs)))
    if job.argv[0] != "fit":
        white = any(_white(block) for block in (config.get("attacks") or {}).values())
        return Cost(
            queries * len(asked.runs) * per_image * (BACKWARD if white else 1) if job.kind == "attack" else None, queries * len(asked.runs)
        )
    data = (config.get("data") or {}).get("init_args") or {}
    share = (1 - _number(data.get("validation"), 0.1)) * _number(data.get("members"), 1.0)
    epochs = _number((config.get("trainer") or {}).get("max_epochs"), 600)
    inner = ((config.get("model") or {}).get("init_args") or {}).get("attack")
    passes = 1 + (_number((inner.get("init_args") or {}).get("steps"), 7) if isinstance(inner, dict) else 0)
    budget = next(
        (_number(_arguments(block).get("budget"), 0) for block in (config.get("attacks") or {}).values() if _class(block) == "knockoff"), 0
    )
    return Cost((budget or train * share) * epochs * passes * BACKWARD * per_image, queries)


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
    return job.what or job.id.split("/")[1 if job.kind == "search" else 3]


@cache
def _table() -> list[dict[str, str]]:
    with (resources("robnas.study") / "measured.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(line for line in file if not line.startswith("#")))


# What a command says, without importing its classes


def _merged(asked: flags.Arguments) -> dict[str, Any]:
    config: dict[str, Any] = {}
    for name in asked.configs:
        config = merge(config, _read(name))
    for name, value in asked.edits:
        config = merge(config, _layer(config, name.split("."), value))
    return config


@cache
def _read(name: str) -> dict[str, Any]:
    return reading.read_file(files.find(name))


def _layer(here: Any, path: list[str], value: Any) -> Any:
    """A flag as a config: `attacks.pgd.steps` is about the arguments of the block that stands there."""
    if not path:
        return value
    inner = here.get(path[0]) if isinstance(here, dict) else None
    if isinstance(here, dict) and "class_path" in here and path[0] not in ("class_path", "init_args"):
        return {"init_args": _layer(here.get("init_args"), path, value)}
    if isinstance(inner, dict) and "class_path" in inner and len(path) == 1 and isinstance(value, str):
        return {path[0]: {"class_path": value}}
    if path[0] in ("model", "data") and len(path) == 1:
        return {path[0]: {"class_path": value}}
    if len(path) == 2 and path[0] in ("attacks", "probes", "defences") and isinstance(value, str):
        return {path[0]: {path[1]: {"class_path": value}}}
    return {path[0]: _layer(inner, path[1:], value)}


def _flops(config: Mapping[str, Any], asked: flags.Arguments, job: PlannedJob) -> float | None:
    """Multiply-adds of an image; of a search's cell those of DARTS, of other data sets than CIFAR10 without their larger last layer."""
    name = str(((config.get("model") or {}).get("init_args") or {}).get("network") or job.model)
    if name in sizes():
        return float(sizes()[name].flops)
    try:
        return float(size(published.find(name)).flops)
    except (UserError, OSError):
        return (
            float(sizes()["darts"].flops)
            if job.family == "nas" or not job.model
            else float(sizes().get(job.model, sizes()["resnet"]).flops)
        )


# Queries of an attack on one input


def _class(block: Any) -> str:
    return str(block.get("class_path", "")) if isinstance(block, Mapping) else str(block)


def _arguments(block: Any) -> dict[str, Any]:
    return dict(block.get("init_args") or {}) if isinstance(block, Mapping) else {}


def _number(value: Any, default: float) -> float:
    if isinstance(value, str):
        read = fraction(value)
        return default if read is None else read
    return float(value) if isinstance(value, int | float) else default


def _get(arguments: Mapping[str, Any], **defaults: float) -> list[float]:
    return [_number(arguments.get(name), default) for name, default in defaults.items()]


def _hopskipjump(arguments: Mapping[str, Any]) -> float:
    """Step t asks min(max, initial · √t) times for the gradient (Chen et al., 2020), and about 25 times along the way."""
    steps, first, most = _get(arguments, steps=50, initial_evaluations=100, max_evaluations=2500)
    return sum(min(most, first * math.sqrt(t + 1)) + 25 for t in range(int(steps)))


def _sweep(arguments: Mapping[str, Any]) -> float:
    inner = arguments.get("attack") or {}
    inner = {"class_path": inner, "init_args": {}} if isinstance(inner, str) else inner
    return len(arguments.get("eps") or [1]) * _per_input(inner)


PER_INPUT: dict[str, Callable[[Mapping[str, Any]], float]] = {
    "pgd": lambda a: math.prod(_get(a, steps=7, n_restarts=5)),
    "apgd": lambda a: (
        math.prod(_get(a, steps=100, n_restarts=1)) * (_number(a.get("n_targets"), 9) if a.get("loss") == "targeted_dlr" else 1)
    ),
    "nes": lambda a: math.prod(_get(a, steps=20, n_queries=400, n_restarts=1)),
    "square": lambda a: _number(a.get("n_queries"), 5000),
    "noise": lambda a: _number(a.get("n_queries"), 100),
    "ensemble": lambda a: _number(a.get("steps"), 100) * (1 + _number(a.get("n_targets"), 9)) + _number(a.get("n_queries"), 5000),
    "hopskipjump": _hopskipjump,
    "membership_hopskipjump": lambda a: 2 * _hopskipjump(a),
    "membership_noise": lambda a: 2 * (1 + len(a.get("sigmas") or [1]) * _number(a.get("copies"), 50)),
    "membership_confidence": lambda a: 2.0,
    "membership_loss": lambda a: 2.0,
    "lira": lambda a: 2.0,
    "eps_sweep": _sweep,
    "transfer": lambda a: _per_input(a.get("attack") or {}),
    "masking": lambda a: 6 * _per_input(a.get("attack") or {}) + _number(a.get("square_queries"), 500),
}
"""Attack → the most passes that one input can take; of membership a member and a non-member."""
WHITE = ("pgd", "apgd", "ensemble", "masking", "transfer")


def _per_input(block: Any) -> float:
    formula = PER_INPUT.get(_class(block))
    return formula(_arguments(block)) if formula else 0.0


def _queries(block: Mapping[str, Any], test: int) -> int:
    arguments = _arguments(block)
    if _class(block) == "knockoff":
        return int(_number(arguments.get("budget"), 8000))
    inner = arguments.get("attack")
    inputs = arguments.get("max_inputs", _arguments(inner).get("max_inputs"))
    return round(_per_input(block) * min(test, _number(inputs, test)))


def _white(block: Any) -> bool:
    return _class(block) in WHITE or (_class(block) == "eps_sweep" and _class(_arguments(block).get("attack")) in WHITE)


def measured_in(folder: Path) -> list[PlannedJob]:
    """Jobs of a study that are done; none where there is no plan that can be read."""
    from robnas.study.plan import Plan

    try:
        plan = Plan.read(folder)
    except UserError:
        return []
    return [job for job in plan.jobs if job.state == "done"] if plan else []
