"""Bi-level optimisation (Eq. 4): min_α L_val(w*(α), α) with w*(α) = argmin_w L_trn(w, α), as pure functions of two losses.

A loss is a callable: one forward pass over one batch, with weights and α as they stand. What a rank computes is the loss of its share of
the batch; means over ranks stand where the mathematics has the loss of the whole batch, so that every rank goes on with the same numbers:

- the gradient of a weight step (`weight_gradient`);
- ∇_w L_trn before the virtual step, and ∇_w' L_val before the radius of the finite difference is taken from it (`second_order`);
- the gradient of α, once, at the end (`first_order`, `second_order`).
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor

from robnas.collectives import mean_

Loss = Callable[[], Tensor]
"""One forward pass → the mean loss of this rank's inputs."""

RADIUS = 0.01
"""The finite difference moves the weights by this L2 distance (Liu et al., 2019, footnote 2)."""


class Inner(NamedTuple):
    """The weights and what SGD would do with them next: w' = w − ξ(μ·b + ∇_w L_trn + λ·w)."""

    weights: list[Tensor]
    momenta: list[Tensor]  # b; empty before the first step
    rate: float  # ξ
    momentum: float  # μ
    decay: float  # λ

    @classmethod
    def of(cls, optimizer: torch.optim.Optimizer) -> "Inner":
        """As the SGD that trains the weights stands now. Gradient clipping is not part of it, as in Liu et al."""
        (group,) = optimizer.param_groups
        momenta = [b for w in group["params"] if (b := optimizer.state[w].get("momentum_buffer")) is not None]
        return cls(group["params"], momenta, group["lr"], group["momentum"], group["weight_decay"])

    def step(self, gradient: list[Tensor]) -> list[Tensor]:
        """w' − w for ∇_w L_trn = `gradient`."""
        direction = torch._foreach_add(gradient, self.weights, alpha=self.decay)
        if self.momenta:
            torch._foreach_add_(direction, self.momenta, alpha=self.momentum)
        return list(torch._foreach_mul(direction, -self.rate))


Product = Callable[[Loss, Sequence[Tensor], Sequence[Tensor], Sequence[Tensor]], list[Tensor]]
"""(train, weights, α, v) → ∇²_{α,w} L_trn · v, this rank's share."""


def weight_gradient(loss: Tensor, weights: Sequence[Tensor]) -> list[Tensor]:
    """∇_w L of the whole batch; α gets no gradient. A weight that the pass did not use has gradient zero."""
    gradient = _grad(loss, weights)
    mean_(gradient)
    return gradient


def first_order(valid: Loss, alpha: Sequence[Tensor], weights: Sequence[Tensor] = ()) -> list[Tensor]:
    """∇_α L_val(w, α): Eq. 4 with w*(α) ≈ w. Weights get no gradient; those that are named are not even prepared for one."""
    with held(weights):
        gradient = _grad(valid(), alpha)
    mean_(gradient)
    return gradient


def second_order(train: Loss, valid: Loss, alpha: Sequence[Tensor], inner: Inner, product: Product) -> list[Tensor]:
    """∇_α L_val(w', α) − ξ ∇²_{α,w} L_trn(w, α) ∇_w' L_val(w', α): Eq. 4 with w*(α) ≈ w', one SGD step (Liu et al., 2019, Eq. 7).

    Args:
        train: L_trn, on the batch of the coming weight step.
        valid: L_val.
        alpha: the architecture's parameters.
        inner: weights and optimizer; the weights come back bit for bit.
        product: `finite_difference` (the published method) or `exact`.
    """
    gradient = _grad(train(), inner.weights)
    mean_(gradient)
    with moved(inner.weights, inner.step(gradient)):
        both = _grad(valid(), [*alpha, *inner.weights])
    direct, v = both[: len(alpha)], both[len(alpha) :]
    mean_(v)
    curvature = product(train, inner.weights, alpha, v)
    result = list(torch._foreach_sub(direct, curvature, alpha=inner.rate))
    mean_(result)
    return result


def finite_difference(train: Loss, weights: Sequence[Tensor], alpha: Sequence[Tensor], v: Sequence[Tensor]) -> list[Tensor]:
    """(∇_α L_trn(w⁺, α) − ∇_α L_trn(w⁻, α)) / 2R with w± = w ± R·v, R = 0.01/‖v‖ (Liu et al., 2019, Eq. 8). Not under autocast.

    R stays on the device: nothing here waits for it.
    """
    norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(list(v))))
    radius = RADIUS / norm.clamp_min(torch.finfo(norm.dtype).tiny ** 0.5)
    step = list(torch._foreach_mul(list(v), radius))
    with held(weights), moved(weights, step):
        ahead = _grad(train(), alpha)
    with held(weights), moved(weights, list(torch._foreach_neg(step))):
        behind = _grad(train(), alpha)
    return list(torch._foreach_div(torch._foreach_sub(ahead, behind), 2 * radius))


def exact(train: Loss, weights: Sequence[Tensor], alpha: Sequence[Tensor], v: Sequence[Tensor]) -> list[Tensor]:
    """∇_α (∇_w L_trn · v) by differentiating twice."""
    gradient = torch.autograd.grad(train(), list(weights), create_graph=True, allow_unused=True)
    pairs = [(g, u) for g, u in zip(gradient, v, strict=True) if g is not None and g.requires_grad]
    return _grad([g for g, _ in pairs], alpha, [u for _, u in pairs])


@contextmanager
def held(weights: Sequence[Tensor]) -> Iterator[None]:
    """Passes inside compute and keep nothing for gradients of these weights."""
    weights = [w for w in weights if w.requires_grad]
    for w in weights:
        w.requires_grad_(False)
    try:
        yield
    finally:
        for w in weights:
            w.requires_grad_(True)


@contextmanager
def moved(weights: Sequence[Tensor], by: list[Tensor]) -> Iterator[None]:
    """The weights stand elsewhere for a while, in place, and are then restored exactly (copied back, not subtracted)."""
    weights = list(weights)
    with torch.no_grad():
        home = [w.clone() for w in weights]
        torch._foreach_add_(weights, by)
    try:
        yield
    finally:
        with torch.no_grad():
            torch._foreach_copy_(weights, home)


@contextmanager
def noise(seed: int, device: torch.device) -> Iterator[None]:
    """Torch's own random numbers (dropout, drop path) start from `seed` here, and are put back afterwards."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield


def repeatable(loss: Loss, seed: int, device: torch.device) -> Loss:
    """The same loss with the same noise in every pass: passes of a finite difference must differ in w alone."""

    def passes() -> Tensor:
        with noise(seed, device):
            return loss()

    return passes


def _grad(outputs: Tensor | Sequence[Tensor], inputs: Sequence[Tensor], v: Sequence[Tensor] | None = None) -> list[Tensor]:
    """torch.autograd.grad; zeros where an output does not depend on an input."""
    return list(torch.autograd.grad(outputs, list(inputs), v, allow_unused=True, materialize_grads=True))
