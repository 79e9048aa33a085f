"""The first inputs of a loader, whatever they are called in their data set and however many ranks share them."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from robnas.data.sampling import GlobalBatches
from robnas.errors import UserError


def first_inputs(loaders: Sequence[Any], most: int, name: str, rank: int = 0, world_size: int = 1) -> Iterator[tuple[Any, Tensor, Tensor]]:
    """This rank's batches as far as they hold any of the first `most` inputs: (batch, [B] bool which of it, [B] 0 or 1).

    The last is a half of the inputs that each belongs to. Of robnas's own loaders both are the same on any number of ranks. Of others each
    rank takes an equal share of `most` from its own batches; its inputs alternate between the halves.

    Raises:
        UserError: batches of `name` are no (x, y) or (x, y, index).
    """
    left = most
    for loader in loaders:
        batches = getattr(loader, "batch_sampler", None)
        chosen = batches.order()[:left] if isinstance(batches, GlobalBatches) else None  # of validation: indices of the training set
        share, seen = left // world_size + (rank < left % world_size), 0
        for batch in loader:
            if not isinstance(batch, list | tuple) or len(batch) < 2:
                raise UserError(f"batches of {name} are {type(batch).__name__}; (x, y) or (x, y, index) is needed")
            place = torch.arange(seen, seen + len(batch[1]))
            keep = place < share if chosen is None else torch.isin(batch[2].cpu(), chosen)
            if not bool(keep.any()):
                break
            seen += int(keep.sum())
            yield batch, keep, (place if chosen is None else batch[2].cpu()) % 2
        left -= seen * world_size if chosen is None else len(chosen)
        if left <= 0:
            return
