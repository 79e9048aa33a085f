"""What attacks are tried on: a small network that notes who asks it for what, and images for it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn

from robnas.attacks.state import State
from robnas.attacks.victim import Victim

SHAPES = ((3, 6, 5), (1, 5, 7))
"""Of images: three channels and one, not square."""


class Seen:
    """What all copies of one network were asked; copies share it.

    Attributes:
        images: passes of an image, but for those that a referee asked for. gradients: those of them that gradients were taken of.
        direct: passes through the very module that was handed over. ends: images that a run ended with, which cost a query too.
        boxes: kinds of access that were given, "white", "score" or "label". moved: whether clean images of a State were changed.
    """

    def __init__(self) -> None:
        self.owner: int | None = None
        self.referee = self.moved = False
        self.images = self.gradients = self.direct = self.ends = 0
        self.boxes: set[str] = set()

    def __deepcopy__(self, memo: Any) -> Seen:
        return self

    def note(self, model: nn.Module, n: int, gradient: bool) -> None:
        """One pass of n images."""
        self.direct += n if id(model) == self.owner else 0
        if not self.referee:
            self.images += n
            self.gradients += n if gradient else 0


class Network(nn.Module):
    """Convolution, BatchNorm, Dropout, linear layer: [B, *shape] in [0, 1] → [B, classes]. In training mode, as a careless caller has it.

    Args:
        classes: how many. shape: of an image. dtype: of weights and pixels.
        dark: inputs whose first value is above it get NaN.
    """

    def __init__(self, classes: int = 10, shape: tuple[int, int, int] = SHAPES[0], dtype: torch.dtype = torch.float64, dark: float = 2.0):
        super().__init__()
        c, h, w = shape
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            convolution, bn, head = nn.Conv2d(c, 4, 3, padding=1), nn.BatchNorm2d(4), nn.Linear(4 * h * w, classes)
            nn.init.normal_(convolution.weight, std=0.4)
            nn.init.normal_(head.weight, std=0.4)
            nn.init.uniform_(bn.weight, 0.5, 1.5)
            bn.running_mean, bn.running_var = torch.randn(4) * 0.1, torch.rand(4) + 0.5
        self.body = nn.Sequential(convolution, bn, nn.ReLU(), nn.Flatten(), nn.Dropout(0.5), head).to(dtype)
        self.body[0].bias.requires_grad_(False)  # as if frozen
        for p in self.body[5].parameters():
            p.grad = torch.ones_like(p)  # as if in the middle of a training
        self.dark, self.seen = dark, Seen()
        self.seen.owner = id(self)

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        self.seen.note(self, len(x), x.requires_grad and torch.is_grad_enabled())  # `len` also stops a tracer: every pass is noted
        logits: Tensor = self.body(x)
        return logits + torch.where(x.flatten(1)[:, 0] > self.dark, torch.nan, 0.0)[:, None].to(logits)

    def plainly(self, x: Tensor) -> Tensor:
        """Logits in evaluation mode, unnoticed: [B, classes]."""
        modes = [m.training for m in self.modules()]
        self.eval()
        with torch.no_grad():
            logits: Tensor = self.body(x) + torch.where(x.flatten(1)[:, 0] > self.dark, torch.nan, 0.0)[:, None].to(x)
        for m, mode in zip(self.modules(), modes, strict=True):
            m.training = mode
        return logits


def images(n: int, shape: tuple[int, int, int] = SHAPES[0], dtype: torch.dtype = torch.float64) -> Tensor:
    """[n, *shape] in [0, 1], every fourth pixel black or white."""
    u = torch.rand(n, *shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return (u * 1.4 - 0.2).clamp(0, 1).to(dtype)


@contextmanager
def watched(seen: Seen) -> Iterator[None]:
    """While inside, `seen` also knows when it is the referee who asks, what access is given, and what runs end with."""
    judge, white, black, begin, leave, end = Victim.judge, Victim.white_box, Victim.black_box, State.__init__, State.leave, State.end

    def judged(self: Victim, x: Tensor) -> Tensor:
        before, seen.referee = seen.referee, True
        try:
            return judge(self, x)
        finally:
            seen.referee = before

    def white_box(self: Victim, *args: Any, **kwargs: Any) -> Any:
        seen.boxes.add("white")
        return white(self, *args, **kwargs)

    def black_box(self: Victim, s: State, answers: str = "score", *args: Any, **kwargs: Any) -> Any:
        seen.boxes.add(answers)
        return black(self, s, answers, *args, **kwargs)

    def begun(self: State, x: Tensor, *args: Any, **kwargs: Any) -> None:
        self._clean = x.clone()
        begin(self, x, *args, **kwargs)

    def unmoved(self: State) -> None:
        seen.moved |= not torch.equal(self.x, self._clean[self._rows])

    def left(self: State, done: Tensor) -> None:
        unmoved(self)
        leave(self, done)

    def ended(self: State) -> Any:
        unmoved(self)
        seen.ends += len(self)
        return end(self)

    with (
        mock.patch.object(Victim, "judge", judged),
        mock.patch.object(Victim, "white_box", white_box),
        mock.patch.object(Victim, "black_box", black_box),
        mock.patch.object(State, "__init__", begun),
        mock.patch.object(State, "leave", left),
        mock.patch.object(State, "end", ended),
    ):
        yield
