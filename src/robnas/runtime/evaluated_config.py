"""What an evaluation takes over from the configuration of the run that it evaluates: its model and its data."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from robnas import jobs
from robnas.attacks.stealing.pool import run_of
from robnas.errors import UserError
from robnas.models import export
from robnas.runtime import run_folder
from robnas.runtime.run_folder import Run


def base(run: Run) -> dict[str, Any]:
    """Model and data as the run had them, its cell, files and seeds found from wherever the evaluation is started."""
    home = run.job.root.parent
    found = {key: _anchored(run.config[key], home) for key in ("model", "data") if run.config.get(key)}
    if own := own_cell(run):
        found["model"] = {**found["model"], "init_args": {**found["model"]["init_args"], "network": own}}
    return {key: _seeded(value, run.config.get("seed_everything")) for key, value in found.items()}


def beginning(folder: str) -> dict[str, Any]:
    """Model and data of the run that another one starts from. Its checkpoint's weights come by the model's `init_from`.

    Raises UserError where it is no run folder of a training.
    """
    run = run_folder.existing(folder)
    found = base(run)
    if "init_args" not in found.get("model", {}) or str(found["model"].get("class_path", "")).endswith("Search"):
        raise UserError(f"init_from: {folder} is a search, not the training of a network")
    return found


def of_victim(config: Mapping[str, Any]) -> dict[str, Any]:
    """Data of the run that an attack steals from, where a configuration names no data of its own; empty where it names no victim.

    Raises UserError for a victim that is no run: nothing says what it was trained on.
    """
    for block in (config.get("attacks") or {}).values():
        victim = (block.get("init_args") or {}).get("victim") if isinstance(block, Mapping) else None
        if victim:
            folder = run_of(str(victim))
            if folder is None or jobs.job_at(folder) is None:
                raise UserError(f"data: the victim {victim} is no run folder, so its data must be named: --data=NAME")
            found = base(run_folder.existing(folder))
            return {"data": found["data"]} if "data" in found else {}
    return {}


def of_export(folder: str | Path) -> dict[str, Any]:
    """Model and data of a folder of `robnas export`, the data only where they are robnas's own: others may be any class.

    Raises:
        UserError: it was written in another format, or is not whole.
    """
    path = Path(folder)
    content = export.read_config(path)
    weights = path if path.name == export.WEIGHTS else path / export.WEIGHTS  # a file counts by its content, wherever it lies
    found: dict[str, Any] = {"model": {"class_path": "OwnModel", "init_args": {"source": str(weights)}}}
    data = content.get("data")
    if isinstance(data, dict) and str(data.get("class_path", "")).startswith("robnas.data."):
        found["data"] = {key: data[key] for key in ("class_path", "init_args") if key in data}
    return found


def own_cell(run: Run) -> str | None:
    """The file in which the run kept its cell, where it named another file or a folder: those may have been moved."""
    kept = str((run.folder / "genotype.yaml").resolve())
    named = run_folder.network_of(run.config)
    return kept if named and "network" in run.job.facts and Path(kept).is_file() else None


PLACES = ("root", "weights", "source")
"""Arguments that are files or folders whatever they look like: a folder `data` has no ending."""


def _anchored(value: Any, home: Path, key: str = "") -> Any:
    """A run's config names files from the folder that it was started in; from another folder they are found by way of the run.

    A mere word is a name, though a folder may be called so: `resnet` means the same everywhere.
    """
    if isinstance(value, Mapping):
        return {name: _anchored(item, home, str(name)) for name, item in value.items()}
    if not isinstance(value, str) or not value or len(value) > 1000 or "\n" in value:
        return value
    if key not in PLACES and "/" not in value and os.sep not in value and not Path(value).suffix:
        return value
    return str(home / value) if (home / value).exists() and not Path(value).exists() else value


def _seeded(node: Any, seed: Any) -> Any:
    """A class whose `seed` was that of its run keeps it: `seed_everything` of an evaluation is the attack's, and splits no data."""
    arguments = node.get("init_args") if isinstance(node, Mapping) else None
    if not isinstance(arguments, Mapping) or "seed" not in arguments or arguments["seed"] is not None:
        return node
    return {**node, "init_args": {**arguments, "seed": seed}}
