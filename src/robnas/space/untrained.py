"""What an untrained network promises: scores that cost one pass, as compared by Abdelfattah et al. (2021). Higher is better.

Pure functions of a module and a batch. The module stays as it was: weights, running statistics, gradients and mode.
"""

from collections.abc import Callable
from copy import deepcopy

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from robnas.errors import require

_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


def synflow(module: nn.Module, x: Tensor, y: Tensor) -> float:
    """Σ θ · ∂R/∂θ with R = 1ᵀ f(1; |θ|): synaptic flow (Tanaka et al., 2020) over convolutions and linear layers.

    Of x [B, …] only the shape of one input counts, y not at all. As Abdelfattah et al. do, batch norms are left out and the sum is taken
    in float64: it is a product over layers, and grows by orders of magnitude with each.
    """
    net = _without_norms(_copy(module)).double()
    with torch.no_grad():
        for p in net.parameters():
            p.abs_()
    weights = _weights(net)
    with torch.enable_grad():
        R = net(torch.ones(1, *x.shape[1:], dtype=torch.float64, device=x.device)).sum()
        flow = torch.autograd.grad(R, weights, allow_unused=True, materialize_grads=True)
    return float(sum((w.detach() * g).sum() for w, g in zip(weights, flow, strict=True)))


def nwot(module: nn.Module, x: Tensor, y: Tensor) -> float:
    """log |det K|, K_ij = N_A − Hamming distance of the codes of x_i and x_j (Mellor et al., 2021); y does not count.

    The code of an input says which of the N_A rectified units are on: those of every `nn.ReLU` each time it is called, so that paths
    which rectify the same node count one by one. x: [B, …]. −∞ where two inputs have one code.

    Raises UserError where there is no `nn.ReLU`.
    """
    net, codes = _copy(module), []

    def note(relu: nn.Module, args: tuple[Tensor, ...], out: Tensor) -> None:
        codes.append((out > 0).flatten(1).double())

    for m in net.modules():
        if isinstance(m, nn.ReLU):
            m.register_forward_hook(note)
    with torch.no_grad():
        net(x)
    require(len(codes) > 0, "nwot: the network has no nn.ReLU whose code could be read")
    K = sum((c @ c.T + (1 - c) @ (1 - c).T for c in codes), start=torch.zeros((), dtype=torch.float64, device=x.device))
    return float(torch.linalg.slogdet(K).logabsdet)


def grad_norm(module: nn.Module, x: Tensor, y: Tensor) -> float:
    """Σ over convolutions and linear layers ‖∇_W L(x, y)‖₂ (Abdelfattah et al., 2021), L the cross entropy. x: [B, …], y: [B]."""
    net = _copy(module)
    weights = _weights(net)
    with torch.enable_grad():
        gradient = torch.autograd.grad(cross_entropy(net(x), y), weights, allow_unused=True, materialize_grads=True)
    return float(sum(torch._foreach_norm(list(gradient)), start=torch.zeros((), device=x.device)))


SCORES: dict[str, Callable[[nn.Module, Tensor, Tensor], float]] = {"synflow": synflow, "nwot": nwot, "grad_norm": grad_norm}
"""By name."""


def _copy(module: nn.Module) -> nn.Module:
    """To be trained, and to be thrown away: batch norms take the batch's moments."""
    return deepcopy(module).train().requires_grad_(True)


def _weights(net: nn.Module) -> list[nn.Parameter]:
    return [m.get_parameter("weight") for m in net.modules() if isinstance(m, nn.Conv2d | nn.Linear)]


def _without_norms(net: nn.Module) -> nn.Module:
    for m in list(net.modules()):
        for name, child in m.named_children():
            if isinstance(child, _NORMS):
                setattr(m, name, nn.Identity())
    return net
