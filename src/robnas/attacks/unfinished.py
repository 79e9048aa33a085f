"""What an attack had found when it was killed: the same command goes on from the batch that was under way."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from robnas import atomic, provenance

Found = dict[str, tuple[dict[str, NDArray[Any]], float]]
"""By part of the attack: its outcomes per input, and seconds."""


class Unfinished:
    """A folder beside the outcomes, a file for each batch that is through. It is gone once the rows are written.

    A file is named after the batch itself, indices, pixels and labels, and the folder after all that the result depends on: attack and
    arguments, seed, weights, versions. So nothing is taken for what it is not; another batch size, or other ranks, find nothing.
    """

    worth: ClassVar[float] = 1.0
    """Seconds from which on a batch is kept: a quick attack is quicker done again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def of(cls, trainer: Any, name: str, params: Mapping[str, Any], victim: str) -> Unfinished:
        """Of one attack on one victim in a trainer's test loop."""
        store, origin = provenance.of_trainer(trainer)
        same = [origin.get(k) for k in ("job", "attack_seed", "dataset")]
        mark = provenance.outcomes_name(name, params, victim, provenance.versions(), *same)
        return cls(store.path.parent / "outcomes" / f"{mark}.unfinished")

    def file(self, x: Tensor, y: Tensor, index: Tensor) -> Path:
        """Where the outcomes of these inputs are, if they are."""
        mark = blake2b(digest_size=8)
        for tensor in (index, y, x):
            mark.update(str((tensor.dtype, tensor.shape)).encode())
            mark.update(tensor.detach().contiguous().cpu().numpy().tobytes())
        return self.folder / f"{mark.hexdigest()}.npz"

    def load(self, file: Path) -> tuple[Found, dict[str, NDArray[Any]]] | None:
        """What was found for a batch, and noticed of the victim; None where it was not through."""
        if not file.is_file():
            return None
        found: Found = {}
        noticed: dict[str, NDArray[Any]] = {}
        with np.load(file, allow_pickle=False) as content:
            for path in content.files:
                part, _, aspect = path.rpartition("/")
                if not part:
                    noticed[aspect] = content[path]
                    continue
                outcomes = found.setdefault(part, ({}, 0.0))[0]
                if aspect == "seconds":
                    found[part] = outcomes, float(content[path])
                else:
                    outcomes[aspect] = content[path]
        return found, noticed

    def save(self, file: Path, found: Found, noticed: Mapping[str, NDArray[Any]]) -> None:
        """Keep what was found for a batch, and noticed of the victim (see `Noticed`), if that took long."""
        if sum(seconds for _, seconds in found.values()) < self.worth:
            return
        arrays = {f"{part}/{k}": v for part, (outcomes, _) in found.items() for k, v in outcomes.items()}
        with atomic.replacing(file) as opened:
            np.savez(opened, allow_pickle=False, **noticed, **arrays, **{f"{part}/seconds": np.array(s) for part, (_, s) in found.items()})

    def forget(self) -> None:
        """The rows are written: nothing is unfinished."""
        shutil.rmtree(self.folder, ignore_errors=True)
