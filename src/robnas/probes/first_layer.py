"""The first layer A x + b that Theorem 1's proof (§B) splits a model into, normalisation included."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from robnas import seeds


class FirstLayer:
    """z = A x + b, the answer of the first convolution or linear layer that a model calls.

    Use `find`, which makes sure that it is one.
    """

    def __init__(self, model: nn.Module, layer: nn.Module) -> None:
        self.model, self.layer = model, layer

    @classmethod
    def find(cls, model: nn.Module, x: Tensor, y: Tensor) -> FirstLayer | None:
        """None where z is not affine in x, is not called exactly once, or is not all that the loss sees of x. x: [1, C, H, W], y: [1]."""
        called: list[nn.Module] = []
        kinds = (nn.modules.conv._ConvNd, nn.Linear)
        hooks = [m.register_forward_hook(lambda m, *_: called.append(m)) for m in model.modules() if isinstance(m, kinds)]
        try:
            with torch.no_grad():
                model(x.clone())
        finally:
            for hook in hooks:
                hook.remove()
        if not called or called.count(called[0]) > 1:
            return None
        first = cls(model, called[0])
        return first if first._affine(x) and first._all_of_x(x, y) else None

    def answer(self, x: Tensor) -> Tensor:
        """x: [B, C, H, W] → z: [B, …]. The layers behind it are not run."""
        with self._hook(_stop):
            try:
                self.model(x)
            except _Reached as reached:
                return reached.answer
        raise AssertionError("the first layer was not called")

    def losses(self, x: Tensor, y: Tensor, shift: Tensor) -> Tensor:
        """ℓ(x, y) [B] as a function of what is added to b. shift: as z, [B, …]."""
        with self._hook(lambda z: z + shift):
            return cross_entropy(self.model(x), y, reduction="none")

    def norm(self, x: Tensor, *, steps: int = 200, tol: float = 1e-4) -> float:
        """‖A‖₂ by power iteration on AᵀA, from below as all of them. x: [1, C, H, W], of which the shape matters alone."""
        x = x.detach().requires_grad_()
        z = self.answer(x)
        u = torch.zeros_like(z, requires_grad=True)
        (back,) = torch.autograd.grad(z, x, u, create_graph=True)  # Aᵀ u, linear in u
        v = seeds.normal(torch.zeros(1, dtype=torch.int64), tuple(x.shape[1:]), "first layer", dtype=torch.float64).to(x)
        value = 0.0
        for _ in range(steps):
            (Av,) = torch.autograd.grad(back, u, v / v.norm(), retain_graph=True)
            before, value = value, float(Av.norm())
            if value - before <= tol * value:
                break
            (v,) = torch.autograd.grad(z, x, Av, retain_graph=True)
        return value

    @torch.no_grad()
    def _affine(self, x: Tensor) -> bool:
        a, b, middle = (self.answer(p) for p in (x.clone(), torch.zeros_like(x), x / 2))
        return torch.allclose(a + b, 2 * middle, rtol=1e-3, atol=1e-4 * float(a.abs().max() + b.abs().max()))

    def _all_of_x(self, x: Tensor, y: Tensor) -> bool:
        x = x.detach().requires_grad_()
        with self._hook(lambda z: z.detach().requires_grad_()):
            loss = cross_entropy(self.model(x), y)
        (g,) = torch.autograd.grad(loss, x, allow_unused=True)
        return g is None or not bool(g.any())

    @contextmanager
    def _hook(self, change: Any) -> Iterator[None]:
        hook = self.layer.register_forward_hook(lambda _m, _x, z: change(z))
        try:
            yield
        finally:
            hook.remove()


class _Reached(Exception):  # noqa: N818 — no error
    def __init__(self, answer: Tensor) -> None:
        self.answer = answer


def _stop(z: Tensor) -> None:
    raise _Reached(z)
