"""The gradient of the loss of each input by itself, with respect to all parameters: a chunk of inputs at a time, never all."""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.nn.functional import cross_entropy

from robnas.errors import UserError, short
from robnas.probes.hooked import Hooked, UnseenError

METHODS = ("auto", "hooks", "vmap", "loop")
"""All inputs of a chunk in one pass whose layers are watched (`hooked`), or in one vectorised pass; or one input after the other, for what
neither can do. "auto": hooks where they know all modules and agree with the loop on two inputs, else vmap."""

AT_ONCE = 2**26
"""Numbers of gradients that are held at once: 256 MiB in single precision. Large networks get smaller chunks."""


def per_input(model: nn.Module, x: Tensor, y: Tensor, chunk: int, method: str = "vmap", batch: int = 1) -> Iterator[Tensor]:
    """∇θ ℓ(f(x_i), y_i) with the cross entropy ℓ: [k, P] for k ≤ `chunk` inputs at a time, parameters in their order, flattened.

    Args:
        model: in evaluation mode, so that an input's loss is its own alone: batch normalisation with running statistics.
        x, y: [N, C, H, W] in [0, 1] and [N].
        chunk: at most so many at once, and at most `AT_ONCE` numbers.
        method: "vmap" or "loop"; see `hooks` for the third.
        batch: mini-batches of so many inputs, each with one gradient, of their mean loss, one after the other; what remains is left out.

    Raises:
        UserError: `vmap` cannot go through this network.
    """
    # Grouped convolutions, into which vmap turns those of single inputs, are slower in channels_last.
    weights = {name: p.detach().contiguous() for name, p in model.named_parameters()}
    chunk = max(1, min(chunk, AT_ONCE // max(1, sum(p.numel() for p in weights.values()))))
    yield from _vectorised(model, weights, x, y, chunk) if method != "loop" and batch == 1 else _looped(model, weights, x, y, batch)


def hooks(model: nn.Module, x: Tensor, y: Tensor, method: str) -> Hooked | None:
    """For "auto" and "hooks"; None: another way is needed, or asked for.

    Raises:
        UserError: `hooks` is asked for and cannot see this network's gradients.
    """
    if method not in ("auto", "hooks"):
        return None
    try:
        found = Hooked(model)
        if found.agrees(x[:2], y[:2]):
            return found
        why = "they differ from the loop's"
    except UnseenError as error:
        why = str(error)
    if method == "hooks":
        raise UserError(f"method: hooks cannot see the gradients of this network ({why}); method: vmap or loop can")
    return None


def _vectorised(model: nn.Module, weights: dict[str, Tensor], x: Tensor, y: Tensor, chunk: int) -> Iterator[Tensor]:
    def loss(weights: dict[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
        return cross_entropy(functional_call(model, weights, (x[None],)), y[None])

    each = vmap(grad(loss), in_dims=(None, 0, 0))
    for xs, ys in zip(torch.split(x, chunk), torch.split(y, chunk), strict=True):
        try:
            with warnings.catch_warnings():  # of a rare operation, such as the pooling of one pixel
                warnings.filterwarnings("ignore", "There is a performance drop because we have not yet implemented the batching rule")
                found = each(weights, xs, ys)
        except RuntimeError as error:
            if "vmap" not in str(error):
                raise
            said = short(" ".join(str(error).split()))
            raise UserError(f"method: vmap cannot go through this network ({said}); method: loop can") from error
        yield torch.cat([g.flatten(1) for g in found.values()], 1)


def _looped(model: nn.Module, weights: dict[str, Tensor], x: Tensor, y: Tensor, batch: int) -> Iterator[Tensor]:
    own = {name: p.clone().requires_grad_() for name, p in weights.items()}
    with torch.enable_grad():
        for i in range(0, len(x) - batch + 1, batch):
            xs, ys = x[i : i + batch], y[i : i + batch]
            loss = cross_entropy(functional_call(model, own, (xs,)), ys)
            found = torch.autograd.grad(loss, list(own.values()), allow_unused=True, materialize_grads=True)
            yield torch.cat([g.flatten() for g in found])[None]
