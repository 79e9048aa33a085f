"""A run folder says which inputs its run is trained on."""

from pathlib import Path

import numpy as np
from lightning.pytorch import Callback, LightningModule, Trainer

from robnas.data import membership
from robnas.data.base import ImageData
from robnas.errors import UserError


class KeepMembership(Callback):
    """Writes `membership.npz` when a training begins; where one goes on, it must be the same."""

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Raises UserError where the data of a run that goes on are no longer split as they were."""
        data, folder = getattr(trainer, "datamodule", None), Path(trainer.default_root_dir)
        if not isinstance(data, ImageData) or trainer.fast_dev_run:  # type: ignore[attr-defined]
            return
        found = data.membership()
        if not (trainer.ckpt_path and (folder / membership.FILE).is_file()):
            if trainer.is_global_zero:
                membership.write(folder, found, data.members, data.members_seed)
        elif not np.array_equal(membership.read(folder).member, found.numpy() == membership.MEMBER):
            raise UserError(f"{folder / membership.FILE}: the run was trained on other inputs than it would be from here on")
