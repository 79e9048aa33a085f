"""A number that tells whether ranks hold the same things, however many."""

from collections.abc import Mapping
from hashlib import blake2b
from typing import Any

import torch
from torch import Tensor


def fingerprint(*values: Any) -> int:
    """In [−2⁶³, 2⁶³): equal for equal tensors (bit for bit, wherever they lie) and plain values, other for others."""
    digest = blake2b(digest_size=8)
    for value in values:
        _take(digest, value)
    return int.from_bytes(digest.digest(), "little", signed=True)


def _take(digest: Any, value: Any) -> None:
    if isinstance(value, Tensor):
        digest.update(f"{value.dtype}{tuple(value.shape)}".encode())
        digest.update(value.detach().cpu().reshape(-1).view(torch.uint8).numpy().tobytes())
    elif isinstance(value, Mapping):
        for k, v in value.items():
            digest.update(f"{k!r}:".encode())
            _take(digest, v)
        digest.update(b"}")
    elif isinstance(value, list | tuple):
        for v in value:
            _take(digest, v)
        digest.update(b"]")
    else:
        digest.update(f"{value!r},".encode())
