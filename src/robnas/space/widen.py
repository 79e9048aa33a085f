"""From a supernet to a wider one that computes the same: Net2WiderNet (Chen et al., 2016, §2.2), as DrNAS (Chen et al., 2021) uses it.

A supernet is wider where `partial` is smaller: more channels go through each operation. New channel c′ copies channel c′ mod c of the
old ones, and where a convolution sums over channels its weights are divided by the number of copies. So on an input whose channels are
repeated like this every operation gives its old output, repeated like this. The factorised reduction repeats the channels of its two
halves (even and odd pixels) each by itself.

Departures: copies are taken in turn where both papers draw them, so nothing here is random; and DrNAS's code does not divide.
"""

import torch
from torch import Tensor

from robnas.errors import require
from robnas.space.mixed_cell import MixedCell
from robnas.space.plan import targets
from robnas.space.supernet import Supernet


def carry(old: Supernet, new: Supernet) -> None:
    """`new` takes weights and running statistics of `old`, in place.

    Raises UserError where they differ in more than `partial`, or where `new` is the narrower one.
    """
    cells = list(zip(old.cells, new.cells, strict=False))
    same = len(old.layers) == len(new.layers) and all(a.space == b.space and a.channels == b.channels for a, b in cells)
    require(same, "weights can be carried over between supernets that differ in `partial` alone, not in space, layers or init_channels")
    require(new.partial <= old.partial, f"partial: {new.partial} after {old.partial} would lose weights; it may only become smaller")
    theirs, inside = old.state_dict(), tuple(f"layers.{i}.cell." for i in range(len(cells)))
    with torch.no_grad():
        for name, mine in new.state_dict().items():
            if not name.startswith(inside):
                mine.copy_(theirs[name])
        for a, b in cells:
            _carry_cell(a, b)


def _carry_cell(old: MixedCell, new: MixedCell) -> None:
    for source, (theirs, mine) in enumerate(zip(old.sources, new.sources, strict=True)):
        edges = len(targets(old.space, source))
        for name, weight in theirs.named_parameters():
            target = mine.get_parameter(name)
            stacked = weight if weight.dim() == 3 else weight.view(edges, -1, *weight.shape[1:])
            shape = target.shape if target.dim() == 3 else (edges, len(target) // edges, *target.shape[1:])
            target.copy_(widened(stacked, shape[1], shape[2]).view_as(target))
    c_old, c_new = old.mean.shape[1], new.mean.shape[1]
    for (_, _, operation, _), row in old.places.items():
        halves = operation == "skip_connect"  # with a norm: the factorised reduction
        which = torch.cat((copies(c_old // 2, c_new // 2), c_old // 2 + copies(c_old - c_old // 2, c_new - c_new // 2)))
        which = (which if halves else copies(c_old, c_new)).to(old.mean.device)
        new.mean[row], new.var[row] = old.mean[row, which], old.var[row, which]


def widened(weight: Tensor, c_out: int, c_in: int) -> Tensor:
    """weight: [edges, out, in, …], in = 1 where a convolution does not sum over channels → [edges, c_out, c_in, …]."""
    rows, columns = (copies(n, m).to(weight.device) for n, m in zip(weight.shape[1:3], (c_out, c_in), strict=True))
    often = columns.bincount(minlength=weight.shape[2])[columns]
    return weight[:, rows][:, :, columns] / often.view(-1, *[1] * (weight.dim() - 3))


def copies(old: int, new: int) -> Tensor:
    """[new] int64: the old channel that each new one copies."""
    return torch.arange(new) % old
