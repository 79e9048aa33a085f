"""Batch normalisation (Ioffe and Szegedy, 2015) whose batch is that of all ranks, exactly, on any backend.

`torch.nn.SyncBatchNorm` refuses CPU tensors and sees modules only. Here the moments of every rank meet in one message, forward and
backward, so that two processes with half a batch each compute what one process computes with the whole batch; ranks may hold unequal
or no inputs. The cost is that message for every layer.
"""

from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from robnas import collectives
from robnas.errors import UserError

M = TypeVar("M", bound=nn.Module)

Count = int | Tensor
"""How many values a channel's moments are over; on several ranks a 0-d tensor, which nobody waits for."""


def batch_norm(
    x: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    *,
    training: bool,
    momentum: float = 0.1,
    eps: float = 1e-5,
    across_ranks: bool = False,
) -> Tensor:
    """`torch.nn.functional.batch_norm`; with `across_ranks`, `training` and more than one rank the batch is that of all ranks.

    Twice differentiable. All ranks must call it, and its backward pass, in the same order.

    Args:
        x: [B, C, ...].
        running_mean, running_var: [C], moved in place in training; None keeps none.
        weight, bias: [C] or None.
        training: moments of the batch, else the running ones.
        momentum: share of this batch in the running statistics.
        eps: added to the variance.
        across_ranks: whether all ranks' inputs are one batch.
    """
    if not (training and across_ranks and collectives.world_size() > 1):
        return F.batch_norm(x, running_mean, running_var, weight, bias, training, momentum, eps)
    dims = [0, *range(2, x.dim())]
    shape = [1, -1] + [1] * (x.dim() - 2)
    precise = x.float() if x.dtype in (torch.bfloat16, torch.float16) else x
    n = x.numel() // x.shape[1]
    mean = precise.sum(dims) / max(n, 1)
    var = precise.var(dims, correction=0) if n else torch.zeros_like(mean)
    mean, var, total = pooled(mean, var, n)
    if running_mean is not None and running_var is not None:
        with torch.no_grad():
            move_(running_mean, running_var, mean.detach(), var.detach(), total, momentum)
    scale = (var + eps).rsqrt() if weight is None else weight * (var + eps).rsqrt()
    shift = -mean * scale if bias is None else bias - mean * scale
    return torch.addcmul(shift.view(shape), precise, scale.view(shape)).to(x.dtype)


def pooled(mean: Tensor, var: Tensor, n: int) -> tuple[Tensor, Tensor, Tensor]:
    """Moments over the values of all ranks from those of each rank. Differentiable.

    Args:
        mean, var: [...] of this rank's `n` values each; the variance is the biased one. Anything finite where n = 0.
        n: may differ between ranks.
    """
    # Σx and Σx² in float64: with 53 bits the difference E x² − (E x)² is as good as a second pass, and one message is enough.
    m, v = mean.double(), var.double()
    sums = torch.cat([(m * n).flatten(), ((v + m * m) * n).flatten(), m.new_full((1,), n)])
    first, second, count = torch.split(collectives.across_ranks(sums), [m.numel(), m.numel(), 1])
    total = count.squeeze().detach()
    all_mean = (first / total).view_as(m)
    all_var = ((second / total).view_as(m) - all_mean * all_mean).clamp_min(0)
    return all_mean.to(mean.dtype), all_var.to(var.dtype), total.to(mean.dtype)


def move_(running_mean: Tensor, running_var: Tensor, mean: Tensor, var: Tensor, n: Count, momentum: float = 0.1) -> None:
    """Running statistics towards this batch's, in place. `var` is the biased one; the running one is unbiased, as in torch."""
    running_mean.lerp_(mean.to(running_mean.dtype), momentum)
    running_var.lerp_((var * (n / (n - 1))).to(running_var.dtype), momentum)


class _AcrossRanks(nn.modules.batchnorm._BatchNorm):
    """A torch BN layer whose training batch is that of all ranks; alone it is exactly torch's."""

    def forward(self, input: Tensor) -> Tensor:
        """input: [B, C, ...] → the same shape."""
        training = self.training or self.running_mean is None
        if not training or collectives.world_size() == 1:
            return super().forward(input)
        self._check_input_dim(input)  # type: ignore[no-untyped-call]
        momentum = self.momentum
        if self.training and self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
            if momentum is None:  # the mean of all batches so far
                momentum = 1.0 / float(self.num_batches_tracked)
        running = (self.running_mean, self.running_var) if self.training else (None, None)
        return batch_norm(input, *running, self.weight, self.bias, training=True, momentum=momentum or 0.0, eps=self.eps, across_ranks=True)


class BatchNorm1d(_AcrossRanks, nn.BatchNorm1d):
    """`torch.nn.BatchNorm1d` over the batch of all ranks."""


class BatchNorm2d(_AcrossRanks, nn.BatchNorm2d):
    """`torch.nn.BatchNorm2d` over the batch of all ranks."""


_OURS: dict[type[nn.Module], Any] = {nn.BatchNorm1d: BatchNorm1d, nn.BatchNorm2d: BatchNorm2d}


def convert(module: M) -> M:
    """Every `nn.BatchNorm1d` and `nn.BatchNorm2d` in `module`, itself included, becomes ours, in place: same weights, buffers, hooks.

    Raises UserError for a batch norm of another class, whose batch would silently be that of one rank.
    """
    for m in module.modules():
        if isinstance(m, nn.modules.batchnorm._BatchNorm) and type(m) not in (*_OURS, *_OURS.values(), nn.SyncBatchNorm):
            raise UserError(
                f"{type(m).__name__} cannot be taken across ranks; --model.batch_norm_across_ranks=false lets each have its own"
            )
        if type(m) in _OURS:
            m.__class__ = _OURS[type(m)]
    return module


def alone(module: M) -> M:
    """What `convert` has made, unmade, in place: for a copy that one rank works with while the others wait."""
    torchs = {ours: theirs for theirs, ours in _OURS.items()}
    for m in module.modules():
        if type(m) in torchs:
            m.__class__ = torchs[type(m)]
    return module
