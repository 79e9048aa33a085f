"""From a resolved configuration to a run that is ready: its job, its folder, where it goes on, who logs, what its rows say."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml
from lightning.pytorch.loggers import Logger

from robnas import atomic, jobs, plugins
from robnas.errors import UserError
from robnas.identity import file_digest, identity_of, upstream_of
from robnas.jobs import Job
from robnas.models.build import GROUP
from robnas.provenance import versions
from robnas.runtime import checkpoints, loggers
from robnas.source import source_digest
from robnas.space.genotype import Genotype


@dataclass
class Run:
    """A prepared run. `ckpt_path`: where it goes on, if it does; `finished`: there is nothing to do; `trained`: it is only evaluated;
    `evaluation`: the folder is that of evaluations alone, of a model from elsewhere; `before`: what its note said until now."""

    job: Job
    config: dict[str, Any]
    ckpt_path: str | None = None
    finished: bool = False
    trained: bool = False
    provenance: dict[str, Any] = field(default_factory=dict)
    evaluation: bool = False
    before: dict[str, Any] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        """`runs/<experiment>/<job>`."""
        return self.job.folder

    @property
    def passing(self) -> bool:
        """Whether it is a `fast_dev_run`: a batch or a few, to see that all goes through. It keeps nothing, and is never `latest`."""
        return bool((self.config.get("trainer") or {}).get("fast_dev_run"))

    def loggers(self) -> list[Logger]:
        """metrics.csv first, then W&B where the configuration wants it. An evaluation leaves the training's metrics.csv alone."""
        label, file = f"{self.job.experiment}/{self.job.name}", "evaluation.csv" if self.trained else "metrics.csv"
        return loggers.build(self.folder, self.config.get("wandb") or "offline", label, self.config, file)

    def finish(self) -> None:
        """The run came to its end: the same command has nothing to do from now on. Others may use the folder."""
        if is_first_rank():
            self.job.mark_finished()
            self.job.release()

    def _answered(self) -> bool:
        """Whether a victim has answered it something, which would be asked for again."""
        return any((self.folder / name).exists() for name in jobs.ANSWERED)

    def release(self) -> None:
        """The run ended otherwise; it may be gone on with."""
        self.job.release()

    def give_up(self) -> None:
        """The run was refused; where no checkpoint was written, there is nothing to go on with and nothing is left behind.

        Of an evaluation: a folder that was there before, or that holds rows by now, stays as it was found.
        """
        if self.evaluation:
            if is_first_rank() and self.before:
                self.job.restore(self.before)
            elif is_first_rank() and not (self.folder / "results.jsonl").exists():
                self.job.abandon()
        elif is_first_rank() and not _any(self.folder / "checkpoints") and not (self._answered() and not self.passing):
            self.job.abandon()


def prepare(config: Mapping[str, Any], *, data: Any = None, model: Any = None, argv: list[str] | None = None) -> Run:
    """Make a `fit`'s folder ready. The first rank writes; the others, running the same command, find what it found.

    Args:
        config: resolved, in plain values, with the top-level keys experiment, runs, overwrite, ckpt_path ("last" or a file), wandb.
        data: the data module; its `fingerprint()` says which images these are.
        model: the module; the cell of its `description` is kept, since the file or search that it came from may be moved.
        argv: the command, for job.json; this process's own if not given.

    Raises:
        UserError: the job was begun and neither going on nor starting anew was asked for; somebody else is working in its folder;
            the checkpoint to go on from is missing, or broken with none before it.
    """
    config = dict(config)
    root = Path(config.get("runs") or "runs")
    overwrite, wanted, first = bool(config.get("overwrite")), config.get("ckpt_path"), is_first_rank()
    if wanted not in (None, "last") and Path(wanted).is_file():
        config["ckpt_path"] = wanted = str(Path(wanted).resolve())  # `latest` may be another folder in a moment
    job = Job(identity(config, data, model), config.get("experiment") or "run", root)
    if wanted not in (None, "last") and Path(wanted).is_file():
        if not _is_inside(wanted, job.folder):  # weights from elsewhere make another result
            job = Job(identity(config, data, model, {"checkpoint": file_digest(Path(wanted))}), job.experiment, root)
        elif overwrite:
            raise UserError(f"--overwrite would remove {wanted}, from which to go on: leave one of the two out")
    if first and (job.state() != "finished" or overwrite):
        job.acquire()
    state, kept = job.state(), job.folder / "checkpoints"  # after the lock: who held it may have come to the end
    if state == "finished" and not overwrite:
        if first:
            job.release()
            print(f"finished already: {job.folder} (--overwrite starts anew)", flush=True)
        return Run(job, config, finished=True, provenance=provenance(job, config, data))
    try:
        ckpt_path = None if overwrite and wanted == "last" else _checkpoint(wanted, kept, first)
        if first:
            if wanted is None and not overwrite and state == "unfinished" and _any(kept):
                raise UserError(f"{job.folder} was begun and is unfinished: --ckpt_path last goes on, --overwrite starts anew")
            if overwrite or (state == "unfinished" and ckpt_path is None):
                job.clear(keep=() if overwrite else jobs.ANSWERED)
            description = getattr(model, "description", None) or {}
            known = {"network": description.get("name"), "search_seed": provenance(job, config)["search_seed"]}
            facts = {"upstream": upstream_of(config), "versions": versions(), **{k: v for k, v in known.items() if v is not None}}
            job.start(command=["robnas", *(sys.argv[1:] if argv is None else argv)], **facts)
            if is_path(network_of(config)) and "genotype" in description:
                atomic.write(job.folder / "genotype.yaml", Genotype.from_dict(description["genotype"]).to_yaml())
            atomic.write(job.folder / "config.yaml", yaml.safe_dump(pinned(config), sort_keys=False, allow_unicode=True, width=120))
            if ckpt_path is not None and not Run(job, config).passing:
                job.point()
    except BaseException:
        job.release()
        raise
    return Run(job, config, str(ckpt_path) if ckpt_path else None, provenance=provenance(job, config, data))


def identity(config: Mapping[str, Any], data: Any = None, model: Any = None, foreign: Mapping[str, str] | None = None) -> str:
    """Of the job that a configuration is, with what its objects know better than its text.

    Images count by the data's `fingerprint()`, else by their folder. A network counts by its cell, or by its plug-in and that one's
    source, whatever the name or file that it was called by; the run folder of a search counts by its job as well.
    """
    counted = dict(foreign or {})
    if hasattr(data, "fingerprint"):
        counted["data"] = data.fingerprint()
    elif root := ((config.get("data") or {}).get("init_args") or {}).get("root"):
        counted["root"] = str(root)
    if hasattr(model, "fingerprint"):
        counted["model"] = model.fingerprint()
    description = getattr(model, "description", None) or {}
    if content := {key: description[key] for key in ("genotype", "plugin") if key in description}:
        if "plugin" in content:
            module = getattr(plugins.load(GROUP, content["plugin"]), "__module__", "") or ""
            content["source"] = source_digest(module) if module else None
        counted["network"] = json.dumps(content, sort_keys=True)
        if network_of(config) and jobs.job_at(network_of(config)) is None:
            arguments = {key: value for key, value in config["model"]["init_args"].items() if key != "network"}
            config = {**config, "model": {**config["model"], "init_args": arguments}}
    return identity_of(config, foreign=counted)


def existing(folder: str | Path, checkpoint: str = "last") -> Run:
    """A run that was trained before, to be evaluated. checkpoint: "last", "best", or a file.

    Raises UserError in one line where there is no run folder, no configuration or no whole checkpoint.
    """
    path = Path(folder)
    job = jobs.job_at(path)
    if job is None:
        near = _nearest(path)
        raise UserError(f"{folder} is no run folder{f'; did you mean {near}?' if near else ''} (robnas list runs)")
    try:
        config = yaml.safe_load((job.folder / "config.yaml").read_text("utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise UserError(f"{job.folder / 'config.yaml'} cannot be read: {' '.join(str(error).split())}") from error
    kept = job.folder / "checkpoints"
    found = checkpoints.choose(kept) if checkpoint == "last" else kept / "best.ckpt" if checkpoint == "best" else Path(checkpoint)
    if found is None or not found.is_file():
        raise UserError(f"{folder} has no {checkpoint} checkpoint{'' if job.state() == 'finished' else ': it is unfinished'}")
    return Run(job, config, str(found), job.state() == "finished", True, provenance(job, config))


def provenance(job: Job, config: Mapping[str, Any], data: Any = None) -> dict[str, Any]:
    """What every row says beside its number, as far as the configuration knows it."""
    model = config.get("model") or {}
    seed = config.get("seed_everything")
    searches = str(model.get("class_path", "")).endswith("Search")
    network = network_of(config)
    return {
        "job": job.name,
        "dataset": getattr(data, "name", None) or str((config.get("data") or {}).get("class_path", "")).rpartition(".")[2].lower(),
        "model": str(network) if network else job.experiment,
        "search_seed": seed if searches else job.facts.get("search_seed", _search_seed(network)),
        "train_seed": None if searches else seed,
        "protocol": config.get("protocol") or "custom",
        "commit": commit(),
        "versions": versions(),
    }


def network_of(config: Mapping[str, Any]) -> str:
    """What a configuration calls its network; empty where it has none."""
    return str(((config.get("model") or {}).get("init_args") or {}).get("network") or "")


def is_path(network: str) -> bool:
    """A name means the same everywhere; a file or folder may be moved."""
    return "(" not in network and "\n" not in network and ("/" in network or (0 < len(network) < 256 and Path(network).exists()))


def _search_seed(network: str) -> Any:
    """Of the search whose run folder the network is, or that found the cell which a training keeps; None where there is none."""
    folder = Path(network).parent if network.endswith("/genotype.yaml") else network
    if (job := jobs.job_at(folder)) is None:
        return None
    try:
        config = yaml.safe_load((job.folder / "config.yaml").read_text("utf-8"))
    except (OSError, yaml.YAMLError):
        return None
    if not isinstance(config, dict):
        return None
    searches = str((config.get("model") or {}).get("class_path", "")).endswith("Search")
    return config.get("seed_everything") if searches else job.facts.get("search_seed")


def commit() -> str | None:
    """Of robnas's own checkout, with a + where it was changed; None where it is installed without one."""
    home = Path(__file__).resolve().parents[3]
    if not (home / ".git").exists():
        return None
    git = ["git", "-C", str(home)]
    try:
        head = subprocess.run([*git, "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True, timeout=5, check=True)
        changed = subprocess.run([*git, "diff", "--quiet", "HEAD", "--", "src"], capture_output=True, timeout=5, check=False)
    except (OSError, subprocess.SubprocessError):
        return None
    return head.stdout.strip() + ("+" if changed.returncode else "")


def is_first_rank() -> bool:
    """Known before any process group is there: launchers say it in the environment."""
    return all(os.environ.get(name, "0") == "0" for name in ("RANK", "LOCAL_RANK", "SLURM_PROCID", "NODE_RANK"))


def pinned(config: Any) -> Any:
    """`runs/search/latest` is another job tomorrow: what config.yaml keeps is the folder that it is now."""
    if isinstance(config, Mapping):
        return {k: pinned(v) for k, v in config.items()}
    if isinstance(config, (list, tuple)):
        return [pinned(v) for v in config]
    if isinstance(config, str) and Path(config).name == "latest" and (job := jobs.job_at(config)) is not None:
        return str(Path(config).with_name(job.name))
    return config


def _nearest(path: Path) -> str:
    """The run folder whose path is written most like this one; a folder above one is its `latest`. Empty where none is near."""
    folders = [job.folder for job in jobs.find(path.parents[1] if len(path.parts) > 2 else "runs")]
    latest = [folder.with_name("latest") for folder in folders if folder.with_name("latest").exists()]
    near = {str(folder.parent): str(folder) for folder in (*reversed(folders), *latest)}  # the last of them wins: `latest`, or the newest
    near |= {str(folder): str(folder) for folder in (*folders, *latest)}
    found = get_close_matches(str(path), near, n=1, cutoff=0.75)
    return near[found[0]] if found else ""


def _is_inside(file: str, folder: Path) -> bool:
    return Path(file).resolve().is_relative_to(folder.resolve())


def _any(kept: Path) -> bool:
    return any((kept / name).exists() for name in (checkpoints.LAST, checkpoints.PREVIOUS))


def _checkpoint(wanted: str | None, kept: Path, say: bool) -> Path | None:
    """Where to go on."""
    if wanted is None:
        return None
    if wanted != "last":
        if not Path(wanted).is_file():
            raise UserError(f"ckpt_path: there is no checkpoint {wanted}; 'last' goes on from the run's own")
        return Path(wanted)
    found = checkpoints.choose(kept, say)
    if found is None:
        if _any(kept):
            raise UserError(f"no checkpoint in {kept} can be read: --overwrite starts anew")
        if say:
            print("no checkpoint yet: starting from the beginning", flush=True)
    return found
