"""Counter-based randomness: every random number is a function of what it is for, never of what was drawn before.

So a run that is killed goes on bit for bit, and a result does not depend on batch size, order or number of ranks.
Scalars and generators: `derive`, `generator`. Per-input streams, computed at once for a batch on any device: `uniform`, `normal`.
"""

import math
import os
from hashlib import blake2b

import torch
from torch import Tensor

_GOLDEN = -7046029254386353131  # 2⁶⁴ / golden ratio as a signed number: the increment of splitmix64 (Steele et al., 2014)


def derive(*keys: int | str) -> int:
    """A seed in [0, 2⁶³) from any keys, e.g. `derive(seed, "order", epoch)`. Equal keys, equal seed; on every machine."""
    return int.from_bytes(blake2b(repr(keys).encode(), digest_size=8).digest(), "big") >> 1


def of_run(seed: int | None = None) -> int:
    """`seed`, or that of `seed_everything` where it is None; 0 where neither was given."""
    return int(os.environ.get("PL_GLOBAL_SEED", 0)) if seed is None else seed


def generator(*keys: int | str, device: torch.device | str = "cpu") -> torch.Generator:
    """A torch generator seeded by `derive(*keys)`."""
    return torch.Generator(device).manual_seed(derive(*keys))


def _shift(z: Tensor, bits: int) -> Tensor:
    """Logical shift to the right; torch's own is arithmetic."""
    return (z >> bits) & ((1 << (64 - bits)) - 1)


def _mix(z: Tensor) -> Tensor:
    """The finaliser of splitmix64; int64 arithmetic wraps."""
    z = (z ^ _shift(z, 30)) * -4658895280553007687
    z = (z ^ _shift(z, 27)) * -7723592293110705685
    return z ^ _shift(z, 31)


def bits(index: Tensor, numel: int, *keys: int | str) -> Tensor:
    """64 random bits for each of `numel` draws of each input. index: [B] int64 → [B, numel] int64."""
    stream = _mix(index.to(torch.int64) * _GOLDEN + derive(*keys))
    return _mix(stream[:, None] + torch.arange(1, numel + 1, device=index.device) * _GOLDEN)


def uniform(index: Tensor, shape: tuple[int, ...], *keys: int | str, dtype: torch.dtype = torch.float32) -> Tensor:
    """Uniform on [0, 1). index: [B] names the inputs; the result [B, *shape] for an input depends on its index and the keys alone."""
    z = bits(index, math.prod(shape), *keys)
    n = 1 - round(math.log2(torch.finfo(dtype).eps))  # as many bits as the mantissa holds, so that 1.0 is never reached by rounding
    return (_shift(z, 64 - n).to(dtype) * 2.0**-n).view(len(index), *shape)


def normal(index: Tensor, shape: tuple[int, ...], *keys: int | str, dtype: torch.dtype = torch.float32) -> Tensor:
    """Standard normal by Box and Muller (1958). index: [B] → [B, *shape]."""
    u, v = uniform(index, (2, *shape), *keys, dtype=dtype).unbind(1)
    return (-2 * torch.log1p(-u)).sqrt() * torch.cos(2 * math.pi * v)
