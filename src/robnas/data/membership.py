"""Which inputs a run was trained on: drawn by seed, written into its run folder, read back by whoever asks who was a member."""

from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from robnas import atomic
from robnas.data.sampling import permutation
from robnas.errors import UserError

FILE = "membership.npz"
NON_MEMBER, MEMBER, VALIDATION = range(3)


@dataclass(frozen=True)
class Membership:
    """What each input of the training set was to a run, by its index. Three masks [N], of which one is True for every input."""

    member: NDArray[np.bool_]
    non_member: NDArray[np.bool_]
    validation: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.member)


def draw(pool: Tensor, share: float, n: int, seed: int) -> Tensor:
    """pool: [P] indices out of 0 … n − 1 → round(share · P) of them, in the order of the pool.

    A plain draw without regard to classes: each input is a member with the same probability, whoever its neighbours are; over seeds the
    draws are independent. With one seed a smaller share is part of a larger one.
    """
    if share == 1:
        return pool
    rank = torch.empty(n, dtype=torch.int64)
    rank[permutation(n, seed, "members")] = torch.arange(n)
    chosen = rank[pool].argsort()[: round(share * len(pool))]
    return pool[chosen.sort().values]


def status(n: int, members: Tensor, validation: Tensor) -> Tensor:
    """[n] uint8: NON_MEMBER, MEMBER or VALIDATION."""
    return torch.zeros(n, dtype=torch.uint8).index_fill(0, members, MEMBER).index_fill(0, validation, VALIDATION)


def write(folder: str | Path, found: Tensor, members: float, seed: int) -> None:
    """Into a run folder, whole or not at all. found: [N] as of `status`; members, seed: the share and the seed that it was drawn with."""
    with atomic.replacing(Path(folder) / FILE) as file:
        np.savez_compressed(file, allow_pickle=False, status=found.numpy(), members=np.array(members), members_seed=np.array(seed))


def read(run: str | Path) -> Membership:
    """Of a run folder. Raises UserError where it has none, or one that cannot be read."""
    path = Path(run) / FILE
    if not path.is_file():
        raise UserError(f"{run} has no {FILE}: it is no folder of a training, or not of one on a robnas data set")
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            found = arrays["status"]
    except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
        raise UserError(f"{path} cannot be read: {' '.join(str(error).split())[:100]}") from error
    return Membership(found == MEMBER, found == NON_MEMBER, found == VALIDATION)
