"""What a model answers, looked at: whether it is numbers, probabilities, the same as another's."""

import torch
from torch import Tensor, nn


def slope(model: nn.Module, x: Tensor) -> Tensor:
    """∇ₓ of a sum of all logits with unequal weights. x: [B, C, H, W] → same shape."""
    leaf = x.detach().requires_grad_(True)
    logits = model(leaf.clone()).flatten(1)
    total = (logits.masked_fill(~logits.isfinite(), 0) * torch.arange(1, logits.shape[1] + 1).to(logits).cos()).sum()
    (gradient,) = torch.autograd.grad(total, leaf)
    return gradient


def wide(logits: Tensor) -> Tensor:
    """16 bits → 32: sums and margins of logits are taken in these."""
    return logits.to(torch.promote_types(logits.dtype, torch.float32))


def answered(values: Tensor) -> Tensor:
    """[B, …] → [B] bool: no NaN and no +∞ (−∞ is a class that a model rules out; not all of them)."""
    values = values.flatten(1)
    return (values < torch.inf).all(1) & (values > -torch.inf).any(1)


def same(fast: Tensor, logits: Tensor) -> bool:
    """Whether two answers to the same inputs differ by no more than rounding."""
    tolerance = 1e-9 if logits.dtype == torch.float64 else 1e-3
    size = float(logits.nan_to_num(0, 0, 0).abs().max())
    return fast.shape == logits.shape and torch.allclose(fast, logits, rtol=tolerance, atol=tolerance * size, equal_nan=True)


def probabilities(logits: Tensor) -> bool:
    """Whether [B, m] answers look like a softmax's: in [0, 1], not all of them 0 or 1, and each row sums to 1."""
    rows = logits[answered(logits)].double()
    inside = bool(((rows >= 0) & (rows <= 1)).all()) and bool(((rows > 0) & (rows < 1)).any())
    return inside and torch.allclose(rows.sum(1), torch.ones_like(rows[:, 0]), atol=1e-3)
