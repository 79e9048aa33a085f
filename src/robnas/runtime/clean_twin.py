"""The same training without the attack on it, or a defence: same model, data, seed and schedule, as a job of its own."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from robnas import atomic, collectives, jobs
from robnas.errors import UserError

CLEAN = "-clean"
"""How the experiment's name of a clean twin ends."""
RANKS = ("devices", "strategy", "num_nodes", "plugins")
"""What of a trainer says how many processes work on a run; on one device the result is the same, the batch being that of all ranks."""


def clean_twin(trainer: Any) -> Path:
    """The run folder of the twin of a trainer's run: trained now if it was not before, gone on with if it was killed.

    Runs that differ in their attacks alone share it. Only the first rank has it trained, on one device; the others wait. Raises UserError
    where the run has no configuration to train it by, or where its training fails.
    """
    return collectives.from_first(lambda: _trained(trainer))


def _trained(trainer: Any) -> Path:
    if not trainer.config or trainer.jobs is None:
        raise UserError("a clean run to compare with is trained by `robnas fit` alone; from Python give one that is finished")
    config = {key: value for key, value in trainer.config.items() if key not in ("attacks", "defences", "ckpt_path", "overwrite")}
    # A job is one process with one device: it can start no ranks of its own, however many this run has.
    given = {key: value for key, value in (config.get("trainer") or {}).items() if key not in RANKS}
    config["trainer"] = {**given, "devices": 1}
    config |= {"experiment": f"{config.get('experiment') or 'run'}{CLEAN}", "wandb": "off"}
    file = Path(trainer.default_root_dir) / "children" / "clean.yaml"
    atomic.write(file, yaml.safe_dump(config, sort_keys=False, allow_unicode=True, width=120))
    begun = datetime.now(UTC).replace(microsecond=0)  # a job's note has whole seconds
    print(f"clean twin: the same training without the attack, {config['experiment']}; trained now, unless it was before", flush=True)
    folder = trainer.jobs([["fit", "--config", str(file)]], 1)[0]
    if folder is None:
        raise UserError(f"the clean twin could not be trained: the log beside {file} says why")
    finished = (jobs.job_at(folder) or jobs.Job("", "")).facts.get("finished")
    there = finished is not None and datetime.fromisoformat(finished) < begun
    print(f"clean twin: {folder}{', which was there' if there else ''}", flush=True)
    return Path(folder)
