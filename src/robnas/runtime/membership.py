"""A run folder says which inputs its run is trained on, and so does a checkpoint."""

from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
from lightning.pytorch import Callback, LightningModule, Trainer

from robnas.data import membership
from robnas.data.base import ImageData
from robnas.errors import UserError

SPLIT = ("members", "members_seed", "validation", "seed")
"""Arguments of the data that decide it."""


class KeepMembership(Callback):
    """Writes `membership.npz` when a training begins; where one goes on, from whosever checkpoint, it must be the same."""

    def __init__(self) -> None:
        self._split: dict[str, Any] = {}  # of the checkpoint, then of this run

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Raises UserError where weights have been trained on other inputs than they would be from here on."""
        data, folder = getattr(trainer, "datamodule", None), Path(trainer.default_root_dir)
        theirs, self._split = self._split, {}
        if not isinstance(data, ImageData) or trainer.fast_dev_run:  # type: ignore[attr-defined]
            return
        found = data.membership()
        self._split = {name: getattr(data, name) for name in SPLIT} | {"digest": digest(found.numpy() == membership.MEMBER)}
        if theirs and theirs["digest"] != self._split["digest"]:
            raise UserError(
                f"ckpt_path: the checkpoint was trained on other inputs than it would be from here on: {_apart(theirs, self._split)}"
            )
        if not (trainer.ckpt_path and (folder / membership.FILE).is_file()):
            if trainer.is_global_zero:
                membership.write(folder, found, data.members, data.members_seed)
        elif not np.array_equal(membership.read(folder).member, found.numpy() == membership.MEMBER):
            raise UserError(f"{folder / membership.FILE}: the run was trained on other inputs than it would be from here on")

    def state_dict(self) -> dict[str, Any]:
        """Plain values: how the data were split, and a digest of the members."""
        return self._split

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """To be compared when the data are there."""
        self._split = dict(state_dict)


def digest(member: "np.typing.NDArray[np.bool_]") -> str:
    """member: [N], True for what is trained on."""
    return blake2b(repr(len(member)).encode() + np.packbits(member).tobytes(), digest_size=16).hexdigest()


def _apart(theirs: dict[str, Any], mine: dict[str, Any]) -> str:
    differ = [f"data.{name} was {theirs[name]}, here it is {mine[name]}" for name in SPLIT if theirs[name] != mine[name]]
    return "; ".join(differ) or "other data, or halves of a search"
