"""Whose results an evaluation's are, where no run folder was named: found by the configuration that trains the same model."""

import sys
from pathlib import Path
from typing import Any

import yaml
from lightning.pytorch import LightningDataModule, LightningModule

from robnas import atomic, jobs, plugins
from robnas.attacks.training import TrainingAttack
from robnas.errors import UserError
from robnas.identity import file_digest
from robnas.provenance import versions
from robnas.runtime import run_folder
from robnas.runtime.run_folder import Run


def evaluated_run(verb: str, config: dict[str, Any], model: LightningModule, data: LightningDataModule | None) -> Run:
    """The run folder of a `fit` with this very configuration, so that `robnas test` takes the flags of `robnas fit`; else a folder below
    `runs/<verb>` for a model with weights of its own, or from a checkpoint file. Raises UserError where there are no trained weights.
    """
    return _same_model_fitted(config, model, data) or _model_of_the_config(verb, config, model, data)


def _same_model_fitted(config: dict[str, Any], model: LightningModule, data: LightningDataModule | None) -> Run | None:
    if getattr(model, "trained", False):  # elsewhere
        return None
    wanted = config.get("ckpt_path") or "last"
    job = _job(config, model, data, config["experiment"])
    return run_folder.existing(job.folder, wanted) if wanted in ("best", "last") and job.state() != "new" else None


def _model_of_the_config(verb: str, config: dict[str, Any], model: LightningModule, data: LightningDataModule | None) -> Run:
    path, trained = config.get("ckpt_path"), getattr(model, "trained", False)
    if path is not None and trained:
        raise UserError(f"ckpt_path: the weights of {type(model).__name__} come with it: --model.weights={path}")
    if path is None and type(model).__module__.startswith("robnas.") and not trained:
        raise UserError(f"{verb}: this model is not trained: give a run folder, --ckpt_path FILE, or `robnas fit` it first")
    if path is not None and not Path(path).is_file():
        raise UserError(f"ckpt_path: there is no checkpoint {path!r}")
    path = path and str(Path(path).resolve())  # `latest` may be another folder in a moment
    job = _job(config, model, data, verb, {"checkpoint": file_digest(Path(path))} if path else {})
    run = Run(job, config, path, evaluation=True, provenance=run_folder.provenance(job, config, data))
    if run_folder.is_first_rank():
        run.before = job.facts
        job.start(command=["robnas", *sys.argv[1:]], network=_name(config, model), versions=versions())
        text = yaml.safe_dump({**config, "ckpt_path": path}, sort_keys=False, allow_unicode=True, width=120)
        atomic.write(job.folder / "config.yaml", text)
    return run


def _name(config: dict[str, Any], model: LightningModule) -> str:
    """For lists: "net.py:Net" where that is how the model was called and it was given no other name, else as in rows."""
    given = (config.get("model") or {}).get("init_args") or {}
    description = getattr(model, "description", None) or {}
    source = str(given.get("source") or "")
    if description.get("family", "custom") == "custom" and ":" in source and not given.get("name"):
        return source.rpartition("/")[2]
    return str(description.get("name") or type(model).__name__)


def _trains(block: Any) -> bool:
    cls = plugins.resolve(str(block["class_path"])) if isinstance(block, dict) and "." in str(block.get("class_path", "")) else None
    return isinstance(cls, type) and issubclass(cls, TrainingAttack)


def _job(config: dict[str, Any], model: Any, data: Any, experiment: str, foreign: dict[str, str] | None = None) -> jobs.Job:
    """The job that trains this model; attacks and probes that only evaluate it do not count, attacks on its training do."""
    trained_under = {name: block for name, block in (config.get("attacks") or {}).items() if _trains(block)}
    identity = run_folder.identity({**config, "attacks": trained_under, "probes": {}}, data, model, foreign)
    return jobs.Job(identity, experiment, Path(config["runs"]))
