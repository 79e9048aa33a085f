"""Shadow models (Shokri et al., 2017; Carlini et al., 2022): trained as the victim was, each on members of its own. They are jobs."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import yaml
from numpy.typing import NDArray
from torch import nn

from robnas import atomic, jobs, seeds
from robnas.attacks.membership.past import began_with, configuration, require_honest
from robnas.copies import digest_of_state
from robnas.data import membership
from robnas.data.base import ImageData
from robnas.errors import UserError, require
from robnas.identity import identity_of

SHADOWS = "-shadows"
"""How the experiment's name ends below which shadows are trained."""

NOT_THEIRS = ("config", "runs", "experiment", "overwrite", "ckpt_path", "weights_only", "wandb", "scale", "probes", "protocol")
"""What of a victim's configuration is not its shadows': where results go, and what only watches or is said of it. Attacks on the victim's
training, and defences of it, are theirs as well."""
ONE_DEVICE = ("devices", "strategy", "num_nodes", "plugins", "logger", "default_root_dir", "enable_progress_bar", "profiler")
"""What of its trainer is not."""


class Shadow(NamedTuple):
    """A finished training. folder: its run; member: [n] bool over the training set."""

    folder: Path
    member: NDArray[np.bool_]


def found(given: str | Sequence[str], victim: Path) -> list[Path]:
    """Run folders that are named, or all finished ones below an experiment's folder; never the victim's own, each once.

    given: one folder or several, of runs or of experiments. Raises UserError where one is neither, or a named run is unfinished.
    """
    runs: dict[Path, None] = {}
    for name in [given] if isinstance(given, str | Path) else given:
        path = Path(name).expanduser()
        if (job := jobs.job_at(path)) is not None:
            require(job.state() == "finished", f"shadows: {name} is unfinished")
            runs[path.resolve()] = None
            continue
        below = sorted({note.parent.resolve() for note in path.glob("*/job.json")})
        require(len(below) > 0, f"shadows: {name} is neither a run folder nor an experiment's folder of them (robnas list runs)")
        runs |= {run: None for run in below if (job := jobs.job_at(run)) is not None and job.state() == "finished"}
    runs.pop(victim.resolve(), None)
    return list(runs)


def read(folders: Sequence[Path], victim: Mapping[str, Any], n: int) -> list[Shadow]:
    """Who was a member of what. victim: its resolved configuration; n: inputs of its training set.

    Raises UserError, in a line, where a run was trained on other data, or on nothing known.
    """
    mine, shadows = images(victim), []
    for folder in folders:
        config = configuration(folder)
        shadow, theirs, begun = Shadow(folder, membership.read(folder).member), images(config), began_with(config, folder)
        require(begun is None, f"shadows: {folder} went on from {begun}, so it has seen more than its own members")
        require_honest(folder)
        same = not victim.get("data") or theirs == mine
        require(same, f"shadows: {folder} was trained on {_named(theirs)}, the victim on {_named(mine)}")
        require(len(shadow.member) == n, f"shadows: {folder} was trained out of {len(shadow.member):,} inputs, the victim out of {n:,}")
        shadows.append(shadow)
    return shadows


def train(trainer: Any, victim: Path, n: int, share: float | None, workers: int | None) -> list[Path | None]:
    """n shadows of the trainer's victim, side by side → their run folders; None where a training failed twice.

    They lie below `<experiment>-shadows`: trained once, found again by every later attack on this victim and on any with the same settings
    and split, gone on with after a kill.

    Raises:
        UserError: the trainer is not robnas's own, or the victim no run of `robnas fit`.
    """
    if trainer.jobs is None:
        raise UserError("n_shadows: shadows are trained by robnas's own Trainer, and not by a barebones one; or give shadows: FOLDER")
    ours = (victim / membership.FILE).is_file()
    require(ours, f"n_shadows: {victim} is no run of `robnas fit`, so there is no telling how to train as it was; give shadows: FOLDER")
    given, files = configuration(victim), []
    for k in range(n):
        shadow = settings(given, k, share, victim)
        files.append(victim / "children" / f"shadow-{identity_of(shadow)[:12]}.yaml")
        atomic.write(files[-1], yaml.safe_dump(shadow, sort_keys=False, allow_unicode=True, width=120))
    folders: list[Path | None] = trainer.jobs([["fit", "--config", str(file)] for file in files], workers)
    return folders


def settings(victim: Mapping[str, Any], k: int, share: float | None = None, folder: Path | None = None) -> dict[str, Any]:
    """The configuration of shadow k: that of the victim with members and a seed of its own. Share of members: the victim's if not given.

    Carlini et al. have each input in exactly half of the shadows. Members are drawn for each shadow alone here, so that an input is in
    about `share` of them, binomially; the split into training and validation part is the victim's, as is the order's seed.

    Args:
        victim: its resolved configuration.
        folder: of its run; its cell, and data named from another working directory, are found there.
    """
    model, data = victim.get("model") or {}, victim.get("data") or {}
    arguments = dict(data.get("init_args") or {})
    begun = began_with(victim, folder)
    require(begun is None, f"n_shadows: the victim went on from {begun}, which has seen its own data; give shadows: FOLDER")
    own = float(arguments.get("members") or 1.0)
    seed = seeds.derive("shadow", k) % 2**31
    data_seed = victim.get("seed_everything") if arguments.get("seed") is None else arguments["seed"]
    arguments |= {"seed": int(data_seed or 0), "members_seed": seed, "members": share or (own if own < 1 else 0.5)}
    if folder is not None:
        home, root = folder.resolve().parents[2], arguments.get("root")
        if root and not Path(root).exists() and (home / root).exists():
            arguments["root"] = str(home / root)
        if (kept := folder / "genotype.yaml").is_file() and "network" in (model.get("init_args") or {}):
            model = {**model, "init_args": {**model["init_args"], "network": str(kept.resolve())}}
    trainer = {key: value for key, value in (victim.get("trainer") or {}).items() if key not in ONE_DEVICE and value is not None}
    return {key: value for key, value in victim.items() if key not in NOT_THEIRS} | {
        "experiment": f"{victim.get('experiment') or 'fit'}{SHADOWS}",
        "runs": str(folder.parents[1]) if folder is not None else victim.get("runs") or "runs",  # beside the victim's experiment
        "seed_everything": seed,
        "wandb": "off",
        "model": model,
        "data": {**data, "init_args": arguments},
        "trainer": {**trainer, "devices": 1},
    }


_OF_EVERY_SET = frozenset(inspect.signature(ImageData.__init__).parameters) | {"download", "memory"}


def images(config: Mapping[str, Any]) -> dict[str, Any]:
    """What a configuration says of which images are trained on, before any split."""
    data = config.get("data") or {}
    own = {key: value for key, value in (data.get("init_args") or {}).items() if key not in _OF_EVERY_SET}
    return {"class_path": data.get("class_path"), **own}


def weights(model: nn.Module) -> str:
    """Digest of a model's weights in single precision, in which models are loaded."""
    return digest_of_state({name: value.float() if value.is_floating_point() else value for name, value in model.state_dict().items()})


def _named(images: Mapping[str, Any]) -> str:
    name = str(images["class_path"]).rpartition(".")[2]
    return " ".join([name, *(f"{key}={value}" for key, value in images.items() if key != "class_path")])
