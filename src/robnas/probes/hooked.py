"""Gradients of single inputs from one pass forward and one back over all of them: hooks see each layer's input and output gradient."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import cross_entropy

from robnas.errors import UserError
from robnas.probes.per_layer import has_parameters, known, order, pieces

Take = Callable[[int, Tensor], None]
"""(number of the first parameter, gradients of k inputs [k, p])"""


class UnseenError(UserError):
    """Hooks cannot see the gradients of this network; says why."""


class Hooked:
    """∇θ ℓ(f(x_i), y_i), some parameters at a time: [k, parameters of the network] is never held.

    A parameter that is used several times, by one module or several, has the sum over its uses. Whether hooks see all that parameters do
    (a module's weight may be used without calling the module) and whether inputs are independent is tried: see `agrees`.

    Args:
        model: in evaluation mode.
        at_once: numbers of gradients in a piece, a layer's least unit aside.

    Raises:
        UnseenError: a parameter belongs to a module that `per_layer` does not know.
    """

    def __init__(self, model: nn.Module, at_once: int = 2**19) -> None:
        for name, m in model.named_modules():
            if not known(m):
                raise UnseenError(f"{type(m).__name__}{f' {name!r}' if name else ''} is not known")
        self.model, self.at_once, self.parameters = model, at_once, dict(model.named_parameters())
        self.names = {id(p): name for name, p in self.parameters.items()}
        self.weights = {name: _laid_out(p.detach()) for name, p in self.parameters.items()}
        self.start: dict[str, int] = {}  # in the order in which a first backward pass meets them
        self._placed = 0
        self.size = sum(p.numel() for p in self.parameters.values())

    def agrees(self, x: Tensor, y: Tensor) -> bool:
        """Whether a loop over the inputs finds the same. x: [k, …], two or three; sets the parameters' places."""
        found = self.whole(x, y)
        own = {name: p.detach().clone().requires_grad_() for name, p in self.parameters.items()}
        near = 4 * torch.finfo(found.dtype).eps ** 0.5
        for row, xs, ys in zip(found, x, y, strict=True):
            with torch.enable_grad():
                loss = cross_entropy(functional_call(self.model, own, (xs[None],)), ys[None])
                exact = torch.autograd.grad(loss, list(own.values()), allow_unused=True, materialize_grads=True)
            g = dict(zip(own, exact, strict=True))
            single = torch.cat([order(g[name]) for name in self.start])  # a dict keeps its order
            if not (row - single).norm() <= near * single.norm():
                return False
        return True

    def whole(self, x: Tensor, y: Tensor) -> Tensor:
        """[k, P], parameters in an order of its own."""
        held: list[tuple[int, Tensor]] = []
        self.each(x, y, lambda start, g: held.append((start, g)))
        found = x.new_zeros(len(x), self.size, dtype=held[0][1].dtype if held else x.dtype)
        for start, g in held:
            found[:, start : start + g.shape[1]] = g
        return found

    def wholes(self, x: Tensor, y: Tensor, chunk: int, at_once: int) -> Iterator[Tensor]:
        """[k, P] for k ≤ `chunk` inputs at a time, and at most `at_once` numbers."""
        k = max(1, min(chunk, at_once // max(1, self.size)))
        return (self.whole(xs, ys) for xs, ys in zip(torch.split(x, k), torch.split(y, k), strict=True))

    def each(self, x: Tensor, y: Tensor, take: Take) -> list[slice]:
        """One pass over x: [k, …], y: [k]. `take` sees disjoint parts. → parameters that nothing came of: their gradients are 0.

        Raises:
            UnseenError: a module is called with what is not one tensor [k, …], or its input is changed in place afterwards.
        """
        run = _Pass(self, len(x), take)
        hooks = [m.register_forward_hook(run.forward) for m in self.model.modules() if has_parameters(m)]
        try:
            with torch.enable_grad():
                x = x.detach().contiguous(memory_format=torch.channels_last) if x.ndim == 4 else x.detach()
                loss = cross_entropy(functional_call(self.model, self.weights, (x,)), y, reduction="sum")
                if run.leaves:
                    torch.autograd.grad(loss, run.leaves, allow_unused=True)
        finally:
            for hook in hooks:
                hook.remove()
        return run.end()

    def place(self, name: str) -> int:
        """Number of a parameter's first element."""
        if name not in self.start:
            self.start[name] = self._placed
            self._placed += self.parameters[name].numel()
        return self.start[name]


class _Pass:
    """Neighbouring pieces go on together: a network of cells has hundreds of small ones."""

    def __init__(self, of: Hooked, k: int, take: Take) -> None:
        self.of, self.k, self.take = of, k, take
        self.leaves: list[Tensor] = []
        self.uses: Counter[str] = Counter()
        self.sums: dict[str, Tensor] = {}
        self.seen: set[str] = set()
        self.buffer: list[Tensor] = []
        self.first, self.next = 0, 0
        self.own = {m: {n: of.names[id(p)] for n, p in m._parameters.items() if p is not None} for m in of.model.modules()}

    def forward(self, m: nn.Module, args: tuple[Any, ...], out: Any) -> Tensor:
        x: Any = args[0] if len(args) == 1 else None
        if not (isinstance(x, Tensor) and isinstance(out, Tensor) and len(x) == len(out) == self.k and x.ndim == out.ndim >= 2):
            raise UnseenError(f"{type(m).__name__} is called with what is not one tensor of {self.k} inputs")
        if isinstance(m, nn.Conv2d) and x.ndim != 4:
            raise UnseenError("a convolution is called with one image")
        shown: Tensor = out
        if not shown.requires_grad:
            self.leaves.append(shown.detach().requires_grad_())
            shown = self.leaves[-1].clone()  # what comes next may change it in place
        self.uses.update(self.own[m].values())
        shown.register_hook(partial(self.backward, m, x.detach(), x._version))  # type: ignore[no-untyped-call]
        return shown

    def backward(self, m: nn.Module, x: Tensor, version: int, g: Tensor) -> None:
        if x._version != version:
            raise UnseenError(f"what goes into a {type(m).__name__} is changed in place afterwards")
        with torch.no_grad():
            for own, first, found in pieces(m, x, g, self.of.at_once):
                name = self.own[m][own]
                if self.uses[name] == 1:
                    self._emit(name, first, found)
                else:
                    total = self.sums.setdefault(name, found.new_zeros(self.k, self.of.parameters[name].numel()))
                    total[:, first : first + found.shape[1]] += found

    def end(self) -> list[slice]:
        for name, total in self.sums.items():
            self._emit(name, 0, total)
        self._flush()
        missing = [(self.of.place(name), p.numel()) for name, p in self.of.parameters.items() if name not in self.seen]
        return [slice(start, start + n) for start, n in missing]

    def _emit(self, name: str, first: int, g: Tensor) -> None:
        self.seen.add(name)
        start = self.of.place(name) + first
        if self.buffer and (start != self.next or self.k * (self.next - self.first + g.shape[1]) > self.of.at_once):
            self._flush()
        if not self.buffer:
            self.first = start
        self.buffer.append(g)
        self.next = start + g.shape[1]

    def _flush(self) -> None:
        if self.buffer:
            self.take(self.first, torch.cat(self.buffer, 1) if len(self.buffer) > 1 else self.buffer[0])
            self.buffer = []


def _laid_out(weight: Tensor) -> Tensor:
    return weight.contiguous(memory_format=torch.channels_last) if weight.ndim == 4 else weight
