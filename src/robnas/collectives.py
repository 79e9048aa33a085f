"""What ranks tell each other. With one process every function here is the identity and costs nothing."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

T = TypeVar("T")


def world_size() -> int:
    """Ranks that work on this together; 1 where nothing is distributed."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """This process's number among them."""
    return dist.get_rank() if world_size() > 1 else 0


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        out = x.detach().clone(memory_format=torch.contiguous_format)
        dist.all_reduce(out)
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        return across_ranks(grads[0])


def across_ranks(x: Tensor) -> Tensor:
    """Σ over ranks, differentiable: all outputs depend on every rank's input, so its gradient is the sum of all ranks' gradients."""
    return _Sum.apply(x) if world_size() > 1 else x


def mean_(tensors: Sequence[Tensor]) -> None:
    """Replace every tensor by its mean over ranks, in one message. All ranks pass the same shapes in the same order."""
    if (n := world_size()) > 1 and tensors:
        flat = torch.cat([t.reshape(-1) for t in tensors])
        dist.all_reduce(flat)
        for t, mean in zip(tensors, torch.split(flat / n, [t.numel() for t in tensors]), strict=True):
            t.copy_(mean.view_as(t))


def broadcast_(tensors: Sequence[Tensor], source: int = 0) -> None:
    """Every rank takes rank `source`'s values."""
    if world_size() > 1:
        for t in tensors:
            dist.broadcast(t, source)


def gather(value: Any) -> list[Any]:
    """Every rank's picklable value, in the order of ranks, on every rank. For small things: outcomes, rows, counts."""
    if (n := world_size()) == 1:
        return [value]
    out: list[Any] = [None] * n
    dist.all_gather_object(out, value)
    return out


def from_first(make: Callable[[], T]) -> T:
    """What rank 0's `make` returns or raises (picklable), on every rank. Only rank 0 calls it, and it may take days: the others wait in a
    group of their own, whose patience is a year, where that of an ordinary collective ends after minutes.
    """
    if world_size() == 1:
        return make()
    group = dist.new_group(backend="gloo", timeout=timedelta(days=365))
    assert not isinstance(group, int)  # that would be said to ranks that are not in it
    made: list[Any] = [None, None]
    if rank() == 0:
        try:
            made[0] = make()
        except Exception as error:
            made[1] = error
    try:
        dist.broadcast_object_list(made, 0, group=group, device=torch.device("cpu"))
    finally:
        dist.destroy_process_group(group)
    if made[1] is not None:
        raise made[1]
    return made[0]  # type: ignore[no-any-return]


def require_agreement(tensors: Sequence[Tensor], what: str) -> None:
    """Raise RuntimeError if a tensor differs between ranks by a single bit: silent drift is worse than a stop."""
    if world_size() > 1:
        mine = torch.cat([t.detach().reshape(-1) for t in tensors])
        first = mine.clone()
        dist.broadcast(first, 0)
        differs = torch.tensor([0 if torch.equal(mine, first) else 1], device=mine.device)
        dist.all_reduce(differs)
        if int(differs):
            raise RuntimeError(f"{what} differs between ranks: a reduction is missing or a random draw is not shared")
