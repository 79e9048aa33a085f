"""Which inputs a step sees: a function of seed, epoch and step, so that neither a killed run nor the number of ranks changes it."""

from collections.abc import Callable, Iterator
from typing import Protocol

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from robnas import seeds
from robnas.data.batch import Batch
from robnas.errors import UserError, require


class ImageSet(Protocol):
    """What can be indexed by many inputs at once, as PyTorch's own loader does where `__getitems__` is there."""

    @property
    def y(self) -> Tensor:
        """[N] int64, the labels."""
        ...

    def __getitems__(self, index: Tensor) -> Batch:
        """index: [B] int64 → x: [B, C, H, W] uint8, y: [B], index: [B]."""
        ...


def permutation(n: int, *keys: int | str) -> Tensor:
    """[n] the numbers 0 … n − 1 in an order given by the keys: sorted by 64 random bits each."""
    return seeds.bits(torch.arange(n), 1, *keys)[:, 0].argsort(stable=True)


def held_out(y: Tensor, count: int, *keys: int | str) -> Tensor:
    """y: [N] labels → [N] bool, True for `count` inputs: every class gives its proportion, to within one input.

    Systematic sampling: inputs stand in line by class, in random order within a class, and are taken at even distances.
    """
    line = permutation(len(y), *keys)
    line = line[y[line].argsort(stable=True)]
    steps = torch.arange(len(y) + 1) * count // max(len(y), 1)
    return torch.zeros(len(y), dtype=torch.bool).index_fill(0, line[steps[1:] > steps[:-1]], True)


class GlobalBatches:
    """The batches of all ranks together, of which this rank takes its share.

    Training (with `keys`): step t of epoch e is the slice [t·B, (t + 1)·B) of the permutation given by (*keys, "order", e), and rank r
    takes the r-th of its equal parts; a last partial batch is dropped. Evaluation (without `keys`): the order of `indices`; nothing is
    dropped, padded or seen twice, and a tail with fewer inputs than ranks joins the batch before it.

    Args:
        indices: [N] int64, the inputs to draw from, by their index in the data set.
        batch_size: B, inputs of one step on all ranks together.
        keys: of the random order.
        rank: of this process.
        world_size: number of ranks.
    """

    def __init__(self, indices: Tensor, batch_size: int, *keys: int | str, rank: int = 0, world_size: int = 1) -> None:
        n = len(indices)
        self.indices, self.batch_size, self.keys, self.rank, self.world_size = indices, batch_size, keys, rank, world_size
        self.epoch, self._order, self._order_of = 0, indices, -1
        if keys:
            require(batch_size <= n, f"batch_size: {batch_size} is larger than the {n} inputs there are to train on")
            require(batch_size % world_size == 0, f"batch_size: {batch_size} cannot be shared equally by {world_size} ranks")
            self._steps = n // batch_size
        else:
            require(n >= world_size, f"data: {n} inputs cannot be shared by {world_size} ranks")
            self._steps = max(n // batch_size + (n % batch_size >= world_size), 1)

    @property
    def sampler(self) -> "GlobalBatches":
        """Where Lightning looks for `set_epoch`."""
        return self

    def set_epoch(self, epoch: int) -> None:
        """The order of this epoch from now on."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self._steps

    def __iter__(self) -> Iterator[Tensor]:
        return (self.share(step) for step in range(len(self)))

    def order(self) -> Tensor:
        """[N] the inputs as this epoch sees them."""
        if self.keys and self._order_of != self.epoch:
            self._order, self._order_of = self.indices[permutation(len(self.indices), *self.keys, "order", self.epoch)], self.epoch
        return self._order

    def share(self, step: int) -> Tensor:
        """[≤ B] this rank's inputs in `step` of the current epoch."""
        last = step == len(self) - 1 and not self.keys
        batch = self.order()[step * self.batch_size : None if last else (step + 1) * self.batch_size]
        return batch.tensor_split(self.world_size)[self.rank]


class Loader:
    """Hands out the batches of a `GlobalBatches` and knows how many: Lightning saves that, and a killed run goes on in mid-epoch.

    Not a `DataLoader`: data in memory are indexed a batch at a time, which no worker process can beat. Worker processes, for images
    that must be decoded, are PyTorch's; what they have prefetched does not count as consumed.

    Args:
        images: indexed by many inputs at once.
        batches: which inputs; also decides the epoch.
        num_workers: processes that fetch ahead; 0: this one.
        finish: what every batch still goes through, in this process.
    """

    def __init__(
        self, images: ImageSet, batches: GlobalBatches, num_workers: int = 0, finish: Callable[[Batch], Batch] | None = None
    ) -> None:
        self.dataset, self.batch_sampler, self.num_workers, self.finish = images, batches, num_workers, finish
        self._epoch, self._consumed, self._resumed = 0, 0, False
        self._ahead: list[list[int]] = []
        self._workers: DataLoader[Batch | UserError] | None = None

    def __len__(self) -> int:
        return len(self.batch_sampler)

    def __iter__(self) -> Iterator[Batch]:
        # A generator: nothing here runs before the first batch is asked for, when Lightning has said which epoch it is.
        epoch = self.batch_sampler.epoch
        if not (self._resumed and self._epoch == epoch):
            self._consumed = 0
        self._epoch, self._resumed = epoch, False
        for batch in self._fetch(self._consumed):
            if isinstance(batch, UserError):
                raise batch
            self._consumed += 1
            yield self.finish(batch) if self.finish else batch

    def _fetch(self, start: int) -> Iterator[Batch | UserError]:
        shares = (self.batch_sampler.share(step) for step in range(start, len(self)))
        if self.num_workers == 0:
            return (self.dataset.__getitems__(share) for share in shares)
        self._ahead[:] = [share.tolist() for share in shares]  # what the workers read at the start of each pass
        if self._workers is None:
            self._workers = DataLoader(
                _InWorker(self.dataset),  # type: ignore[arg-type]
                batch_sampler=self._ahead,
                num_workers=self.num_workers,
                collate_fn=_as_it_is,  # type: ignore[arg-type]
                generator=torch.Generator(),  # else it would draw from the global one
                persistent_workers=True,  # to start one takes seconds where processes are not forked
            )
        return iter(self._workers)

    @property
    def _iterator(self) -> object:
        """Through which Lightning ends the worker processes when a loop is torn down."""
        return getattr(self._workers, "_iterator", None)

    @_iterator.setter
    def _iterator(self, _: None) -> None:
        self._workers = None

    def state_dict(self) -> dict[str, int]:
        """The position: batches handed out in which epoch. Equal on all ranks."""
        return {"epoch": self._epoch, "consumed": self._consumed}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """The next pass starts there if it is a pass of the same epoch."""
        self._epoch, self._consumed, self._resumed = state["epoch"], state["consumed"], True


class _InWorker:
    """An error raised in a worker process comes back as another worker's traceback in a string; returned, it comes back as itself."""

    def __init__(self, images: ImageSet) -> None:
        self.images = images

    def __getitems__(self, index: list[int]) -> Batch | UserError:
        try:
            return self.images.__getitems__(torch.tensor(index, dtype=torch.int64))
        except UserError as error:
            return error


def _as_it_is(batch: Batch) -> Batch:
    return batch
