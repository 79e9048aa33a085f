"""Whom a membership attack is asked about: members out of those that a run was trained on, non-members beside them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from lightning.pytorch import Trainer
from torch import Tensor

from robnas import seeds
from robnas.attacks.membership import past
from robnas.data import membership
from robnas.data.base import Batch, ImageData, as_float
from robnas.errors import UserError

MEMBERS = ("run", "data")
NON_MEMBERS = ("auto", "train", "test", "validation")
SEEN = 3
"""Beside `membership.MEMBER` and the others: not trained on by the run, but maybe by the one whose weights it began with. It is neither."""


class Chosen(NamedTuple):
    """Inputs of training and test set under one numbering: training input i is i, test input j is `n_train` + j.

    index: [n] int64, ascending. member: [n] bool. n_train: inputs of the training set.
    """

    index: Tensor  # type: ignore[assignment]  # hides tuple.index, which nobody needs here
    member: Tensor
    n_train: int

    def member_of(self, index: Tensor) -> Tensor:
        """[B] bool for index: [B], all of them chosen."""
        at = torch.searchsorted(self.index, index.to(self.index.device))
        return self.member[at].to(index.device)


def pools(trainer: Trainer, members: str, non_members: str) -> tuple[ImageData, Tensor, Tensor]:
    """(data, indices of all members, indices of all non-members), unaugmented and without the validation part unless it is asked for.

    Args:
        trainer: with a robnas data set; its folder says whom the run was trained on.
        members: "run", as its folder says; "data", the part that the data set itself would train on, for models trained elsewhere.
        non_members: "train": what the run was not trained on for `data.members` < 1; "test"; "auto": the first where there is any,
            else the second; "validation": what was held out of training to choose between models. What weights that it began with have
            been trained on, or may have been, is in none of them.

    Raises:
        UserError: there is no membership, it is of other data or of a stolen model, or a group is empty.
    """
    data = getattr(trainer, "datamodule", None)
    if not isinstance(data, ImageData):
        raise UserError("membership inference needs a robnas data set (robnas list data), as it asks about training inputs by their number")
    n_train, n_test = (len(images.y) for images in data.sets())
    status = _of_run(trainer, data, n_train) if members == "run" else data.membership()
    inside, outside, held = ((status == s).nonzero()[:, 0] for s in (membership.MEMBER, membership.NON_MEMBER, membership.VALIDATION))
    test = torch.arange(n_test) + n_train
    others = {"train": outside, "test": test, "validation": held, "auto": outside if len(outside) else test}[non_members]
    if not len(inside):
        raise UserError("members: the run was trained on no input of this data set")
    if not len(others):
        why = {"train": "the run, or one it began with, was trained on the whole training set: test, or a run with data.members < 1"}
        raise UserError(f"non_members: {non_members} has no input; {why.get(non_members, 'auto, train or test')}")
    return data, inside, others


def _of_run(trainer: Trainer, data: ImageData, n: int) -> Tensor:
    folder = Path(trainer.default_root_dir)
    if not (folder / membership.FILE).is_file():
        raise UserError(
            f"{folder} does not say whom the model was trained on ({membership.FILE}): give the run folder of a training, or, if it was "
            f"trained on the training part of {data.name} as robnas splits it, say members: data"
        )
    found = membership.read(folder)
    config: Any = getattr(trainer, "config", None) or {}
    theirs = str((config.get("data") or {}).get("class_path") or "").rpartition(".")[2]
    if len(found) != n or (theirs and theirs != type(data).__name__):
        raise UserError(f"{folder} was trained on {len(found):,} inputs of {theirs or 'other data'}; {data.name} has {n:,}")
    past.require_honest(folder)
    others = np.where(past.seen_before(folder, n), SEEN, np.where(found.validation, membership.VALIDATION, membership.NON_MEMBER))
    return torch.from_numpy(np.where(found.member, membership.MEMBER, others))


def order(pool: Tensor, seed: int) -> Tensor:
    """pool: [P] indices → the same in an order that is each index's own: of two pools, what they share comes in the same order.

    So two models with the same members are asked about the same inputs, and fewer inputs are the first of more.
    """
    return pool[seeds.bits(pool, 1, seed, "membership")[:, 0].argsort(stable=True)]


def choose(members: Tensor, non_members: Tensor, n_train: int) -> Chosen:
    """Both groups as one, by index."""
    index = torch.cat([members, non_members])
    at = index.argsort()
    return Chosen(index[at], torch.arange(len(index))[at] < len(members), n_train)


def images(data: ImageData, index: Tensor, dtype: Any = torch.float32) -> Batch:
    """index: [B] as in `Chosen` → x in [0, 1] as stored, never augmented; y; index, ascending."""
    index = index.sort().values
    train, test = data.sets()
    n = len(train.y)
    parts = [
        as_float(some.__getitems__(which), dtype)
        for some, which in ((train, index[index < n]), (test, index[index >= n] - n))
        if len(which)
    ]
    return Batch(torch.cat([p.x for p in parts]), torch.cat([p.y for p in parts]), index)
