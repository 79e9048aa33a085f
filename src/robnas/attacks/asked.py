"""A victim as a plain module for attacks of other libraries, which counts what they ask."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from robnas.attacks.state import State
from robnas.attacks.victim import answered


class Asked(nn.Module):
    """Pixels → logits of the victim. It holds none of its weights, so that nothing done to this module reaches them.

    A query of as many images as there are inputs is one image of each, in their order: libraries keep positions. Of any other query
    nobody says whose its images are (a library drops inputs, or tries several images of some): then the total is right, and it is shared
    out evenly among the inputs, and `shared` is True. With one input every count is exact. A pass counts as one with a gradient if one
    could be taken of it.

    Args:
        ask: pixels → logits.
        s: where queries are counted.
        access: "white"; "score", then it gives logarithms of probabilities without gradient; or "label", then logits of 1 and 0.
        dtype: of the victim; libraries that know float32 alone are translated.

    Attributes:
        shared: some queries could not be laid at the door of any input. lost: among those, the model gave NaN.
    """

    def __init__(self, ask: Callable[[Tensor], Tensor], s: State, access: str, dtype: torch.dtype) -> None:
        super().__init__()
        self._ask, self._state, self._access, self._dtype = ask, s, access, dtype
        self._next = 0
        self.shared = self.lost = False
        self.here = nn.Parameter(torch.zeros(1, dtype=dtype, device=s.x.device), requires_grad=False)  # libraries look for a device
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        """x: [n, C, H, W] → [n, m]."""
        white = self._access == "white"
        with torch.set_grad_enabled(white and torch.is_grad_enabled()):
            logits = self._ask(x.to(self._dtype))
        self._count(logits)
        if self._access == "label":
            logits = one_hot(logits.argmax(1), logits.shape[1]).to(logits)
        return logits.log_softmax(1) if self._access == "score" else logits

    def _count(self, logits: Tensor) -> None:
        n, b = len(logits), len(self._state)
        whose = torch.arange(n, device=logits.device)
        fine = answered(logits.detach())
        if n != b:
            self.shared, self.lost = True, self.lost or not bool(fine.all())
            whose, self._next = (whose + self._next) % b, (self._next + n) % b
        self._state.asked(n, whose, gradient=logits.requires_grad, answered=fine if n == b else None)


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Inside, the global generators of torch, NumPy and Python begin at this seed; afterwards they are as they were."""
    kept = np.random.get_state(), random.getstate()  # noqa: NPY002
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        np.random.seed(seed % 2**32)  # noqa: NPY002
        random.seed(seed)
        try:
            yield
        finally:
            np.random.set_state(kept[0])  # noqa: NPY002
            random.setstate(kept[1])
