"""Zero-cost scores as a probe: what a network promises before it is trained (Abdelfattah et al., 2021)."""

import math
from collections.abc import Sequence
from statistics import fmean

import torch
from torch import Tensor, nn

from robnas import seeds
from robnas.errors import require, unknown
from robnas.probes.base import Measurement, Probe, require_weights
from robnas.results import Number
from robnas.space.untrained import SCORES
from robnas.statistics import student

EVENING = (nn.GroupNorm, nn.LayerNorm, nn.modules.instancenorm._InstanceNorm)
"""Norms that synaptic flow does not leave out."""


class ZeroCost(Probe):
    """Synaptic flow, NASWOT and the gradient's norm: what a network promises before it is trained.

    `log_synflow` (Tanaka et al., 2020), `nwot` (Mellor et al., 2021) and `grad_norm` are those of `robnas.space.untrained`. They are meant
    for initialisation, "fit_start"; at "fit_end" and in `robnas probe` they are of trained weights, which is another number. As they are
    defined, batch norms take a batch's own moments; dropout and drop path draw from a seed of their own. Each is the mean over disjoint
    batches, its interval Student's.

    Synaptic flow looks at no image: it is one number, log(1 + flow), as flows span tens of orders of magnitude, and its input of ones
    goes past the normalisation of pixels, into the network itself. Norms other than batch norms stay and even out what flows, as do BiT's
    standardised weights: such a flow is flagged and compares with no other. Without an `nn.ReLU` there is no nwot; it is left out.

    Args:
        n_samples: inputs.
        batch: inputs of a batch. nwot and grad_norm depend on it, so models are compared at equal `batch`; what remains is left out.
        scores: which of them.
        hooks: when, in `fit`.
    """

    def __init__(
        self,
        n_samples: int = 256,
        batch: int = 64,
        scores: tuple[str, ...] = ("synflow", "nwot", "grad_norm"),
        hooks: tuple[str, ...] = ("fit_start",),
    ) -> None:
        self.n_samples, self.batch, self.scores, self.hooks = n_samples, batch, scores, hooks

    def check(self) -> None:
        """Raise UserError for an attribute out of range."""
        super().check()
        require(2 <= self.batch <= self.n_samples, f"batch: {self.batch} is not from 2 to n_samples, {self.n_samples}")
        for name in self.scores:
            if name not in SCORES:
                raise unknown("score", name, SCORES)

    def measure(self, model: nn.Module, x: Tensor, y: Tensor) -> Measurement:
        """x: [N, C, H, W] in [0, 1], y: [N]; fewer than `batch` are one batch."""
        require_weights(self.name, model)
        found: dict[str, float | Number] = {}
        for name in self.scores:
            if name == "synflow":
                found["log_synflow"] = flow(model, x[:1], y[:1])
            elif name != "nwot" or any(isinstance(m, nn.ReLU) for m in model.modules()):
                found[name] = number(over_batches(name, model, x, y, self.batch), len(x) // self.batch * self.batch or len(x))
        return Measurement(**found)


def flow(model: nn.Module, x: Tensor, y: Tensor) -> Number:
    """log(1 + synaptic flow), flagged where norms that are not batch norms change it. x: [1, C, H, W], y: [1], of shapes alone."""
    found, names = score("synflow", inner(model), x, y), sorted({type(m).__name__ for m in model.modules() if isinstance(m, EVENING)})
    flags = (f"{', '.join(names)} evens out what flows",) if names else ()
    if not -1 < found < math.inf:  # weights are made positive, but such norms subtract a mean
        return Number(None, 1, flags=(*flags, f"the flow is {found:.3g}"))
    return Number(math.log1p(found), 1, flags=flags)


def number(scores: Sequence[float], n: int) -> Number:
    """Of a batch each → their mean; n: their inputs. None where one is not finite, as nwot's is where two inputs have one code."""
    if not all(map(math.isfinite, scores)):
        return Number(None, n, flags=("not finite",))
    interval = student(scores) if len(scores) > 1 else None
    return Number(fmean(scores), n, interval, "student" if interval else None)


def over_batches(name: str, model: nn.Module, x: Tensor, y: Tensor, batch: int) -> Sequence[float]:
    """The score of each whole batch; of all inputs where there are fewer than one."""
    whole = max(1, len(x) // batch)
    return [score(name, model, x[i * batch : (i + 1) * batch], y[i * batch : (i + 1) * batch]) for i in range(whole)]


def score(name: str, model: nn.Module, x: Tensor, y: Tensor) -> float:
    """By name; x: [B, C, H, W], y: [B]. Random layers draw the same for all models, and nobody else's draws move."""
    devices = [x.device] if x.device.type == "cuda" else []
    with torch.random.fork_rng(devices):
        torch.manual_seed(seeds.derive("probe", "zero_cost", name))
        return SCORES[name](model, x, y)


def inner(model: nn.Module) -> nn.Module:
    """The network behind the normalisation of pixels; the model itself where there is none."""
    networks = (getattr(m, "network", None) for m in model.modules() if hasattr(m, "normalize"))
    return next((network for network in networks if isinstance(network, nn.Module)), model)
