"""The inputs that still stand, and everything an attack keeps for each of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from robnas import seeds
from robnas.attacks.goal import Goal


class State:
    """Per-input tensors of one run. An attack may add its own (`s.momentum = …`): all are cut together as inputs leave.

    Attributes:
        x: [B, C, H, W] in [0, 1], the clean inputs that still stand.
        x_t: same shape, the current iterate.
        index: [B] the data set's own numbers of these inputs.
        goal: what is wanted of each.
        t: iteration, from 0. restart: from 0.
    """

    x: Tensor
    x_t: Tensor
    index: Tensor
    goal: Goal

    if TYPE_CHECKING:  # an attack's own tensors

        def __getattr__(self, name: str) -> Any: ...

    def __init__(self, x: Tensor, goal: Goal, index: Tensor, seed: int = 0, restart: int = 0) -> None:
        self._n = len(x)
        self._rows = torch.arange(len(x), device=x.device)  # where each standing input was when the run began
        self._found = x.clone()
        self._kept: Tensor | None = None
        self._answered = torch.ones(len(x), dtype=torch.bool, device=x.device)
        self._queries = torch.zeros(len(x), dtype=torch.int64, device=x.device)
        self._gradients = torch.zeros_like(self._queries)
        self._seed, self._draws = seed, 0
        self.t, self.restart = 0, restart
        self.x, self.x_t, self.index, self.goal = x, x, index, goal

    def __len__(self) -> int:
        return self._n

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, Tensor) and not name.startswith("_") and (value.ndim == 0 or len(value) != self._n):
            raise ValueError(f"State.{name}: shape {tuple(value.shape)}; its first dimension must be the {self._n} inputs that stand")
        super().__setattr__(name, value)

    def leave(self, done: Tensor) -> None:
        """The inputs with done: [B] bool leave; their x_t is what the attack found. All tensors of the others move up."""
        self._kept = None
        if not done.any():
            return
        self._found[self._rows[done]] = self.x_t[done]
        self._kept = (~done).nonzero().squeeze(1)
        self._n = len(self._kept)
        self._rows = self.keep(self._rows)
        self.goal = self.goal.select(self._kept)
        for name, value in vars(self).items():
            if isinstance(value, Tensor) and not name.startswith("_"):
                setattr(self, name, self.keep(value))

    def keep(self, value: Tensor) -> Tensor:
        """[B before the last `leave`, …] → its rows that still stand."""
        return value if self._kept is None else value[self._kept]

    def uniform(self, low: float | Tensor = 0.0, high: float | Tensor = 1.0, shape: tuple[int, ...] | None = None) -> Tensor:
        """[B, *shape], shape of an image by default. Each input has its own stream: (index, seed, restart, number of the draw)."""
        return low + (high - low) * seeds.uniform(self.index, *self._draw(shape), dtype=self.x.dtype)

    def normal(self, shape: tuple[int, ...] | None = None) -> Tensor:
        """[B, *shape] standard normal, likewise."""
        return seeds.normal(self.index, *self._draw(shape), dtype=self.x.dtype)

    def streams(self, n: int) -> Tensor:
        """[B, n] int64: names of n random streams of each input, to draw from in any order, any number at once."""
        return seeds.bits(self.index, n, *self._draw(())[1:])

    @property
    def answered(self) -> Tensor:
        """[B] bool: the victim has always given numbers (no NaN) for this input."""
        return self._answered[self._rows]

    def _draw(self, shape: tuple[int, ...] | None) -> tuple[Any, ...]:
        self._draws += 1
        return tuple(self.x.shape[1:]) if shape is None else shape, self._seed, "attack", self.restart, self._draws

    def asked(self, n: int, rows: Tensor | None, *, gradient: bool = False, answered: Tensor | None = None) -> None:
        """Note a query of n images. rows: [n] whose they are among the standing; without, k images of each, one after another."""
        if n == 0:
            return
        if rows is None:
            if self._n == 0 or n % self._n:
                raise ValueError(f"a query of {n} inputs while {self._n} stand: say whose they are (`rows`)")
            rows = torch.arange(self._n, device=self._rows.device).repeat_interleave(n // self._n)
        who = self._rows[rows]
        self._queries.index_add_(0, who, torch.ones_like(who))
        if gradient:
            self._gradients.index_add_(0, who, torch.ones_like(who))
        if answered is not None:
            self._answered[who[~answered]] = False

    def end(self) -> Run:
        """Close the run: the last x_t of those that stand goes to be judged, which costs them one more query."""
        self._found[self._rows] = self.x_t
        self._queries[self._rows] += 1
        return Run(self._found, self._answered, self._queries, self._gradients)


class Run(NamedTuple):
    """All inputs that a run began with. x: [B, C, H, W] to be judged; answered: [B] bool, the victim always gave numbers."""

    x: Tensor
    answered: Tensor
    queries: Tensor
    gradients: Tensor
