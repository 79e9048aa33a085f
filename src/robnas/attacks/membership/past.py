"""What a run's weights have seen beside its own members, as their run folders say: whoever calls that non-members is wrong."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from robnas.data import membership
from robnas.errors import UserError, require

ANSWERS = "queries.npz"
"""What a thief's run keeps: it was trained on what its victim answered, whatever its own data set is."""


def configuration(folder: Path) -> dict[str, Any]:
    """The resolved one of a run. Raises UserError where there is none."""
    try:
        content = yaml.safe_load((folder / "config.yaml").read_text("utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise UserError(f"{folder / 'config.yaml'} cannot be read: {' '.join(str(error).split())}") from error
    require(isinstance(content, dict), f"{folder / 'config.yaml'} is no configuration")
    return dict(content)


def began_with(config: Mapping[str, Any], folder: Path | None = None) -> str | None:
    """The weights that a training began with, where they are not its own: `init_from`, or a checkpoint from outside its folder."""
    if begun := ((config.get("model") or {}).get("init_args") or {}).get("init_from"):
        return str(begun)
    checkpoint = config.get("ckpt_path")
    if checkpoint in (None, "last") or (folder and Path(checkpoint).resolve().is_relative_to(folder.resolve())):
        return None
    return str(checkpoint)


def seen_before(folder: Path, n: int) -> NDArray[np.bool_]:
    """[n] bool over the training set: what the weights that a run began with were trained on, and those that these began with, and so on.

    All True where that is not known: then nothing is a sure non-member but test inputs.
    """
    seen, passed = np.zeros(n, dtype=np.bool_), [folder]
    while (passed[-1] / "config.yaml").is_file() and (source := began_with(configuration(passed[-1]), passed[-1])) is not None:
        before = _run_of(source, passed[-1])
        if before is None or before in passed or len(mask := membership.read(before).member) != n:
            return np.ones(n, dtype=np.bool_)
        seen |= mask
        passed.append(before)
    return seen


def require_honest(folder: Path) -> None:
    """Raises UserError for a replica, whose training data were another model's answers: its own split says nothing of it."""
    replica = (folder / ANSWERS).is_file()
    require(not replica, f"{folder} is a stolen model: it was trained on its victim's answers ({ANSWERS}), not on members of its data set")


def doubts(folder: Path, model: object) -> list[str]:
    """Flags of a run whose members may not be quite those that its folder says.

    model: its Lightning module, which names the attacks and defences of its training: an input may have been trained with another label,
    with a trigger, or left out.
    """
    found = [f"training altered by {name}" for mark in ("attacked", "defended") for name in getattr(model, mark, {})]
    trainer = (configuration(folder).get("trainer") or {}) if (folder / "config.yaml").is_file() else {}
    if trainer.get("limit_train_batches") is not None and repr(trainer["limit_train_batches"]) != "1.0":  # 1 is one batch, 1.0 all
        found.append("limit_train_batches: not every member was seen")
    return found


def _run_of(source: str, folder: Path) -> Path | None:
    """The run folder that weights lie in, named from where the run in `folder` was started or from here."""
    for path in (Path(source).expanduser(), folder.resolve().parents[2] / source):
        for place in (path, *path.parents[:2]):
            if (place / membership.FILE).is_file():
                return place.resolve()
    return None
