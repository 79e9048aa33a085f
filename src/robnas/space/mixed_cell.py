"""A cell with every operation on every edge: its weights, its running statistics, and the choice of how to compute it."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from robnas.space import fused, plain
from robnas.space.plan import DILATED, SEPARABLE, Plan, every_place, ordered, targets
from robnas.space.search_space import Space


@dataclass
class Statistics:
    """How batch norms behave, shared by all modules of a supernet: frozen leaves running statistics alone."""

    across_ranks: bool = False
    frozen: bool = False


class Dropout(NamedTuple):
    """On identity skips in one pass: probability; this rank's first input among those of all ranks, and how many these are."""

    probability: float
    first: int
    total: int


class MixedCell(nn.Module):
    """The mixed operations of one cell (Eq. 3), all edges that leave a source and carry the same operation as one kernel.

    Its state does not depend on what is alive: weights are stacked over all edges that may leave a source, and running statistics have
    one row for every batch norm that may be computed.

    Args:
        space: operations and nodes.
        channels: C of every node; C/K in its operations.
        reduction: whether the two inputs are halved.
        statistics: how its batch norms behave.
        partial: K (`partial.py`).
    """

    mean: Tensor
    var: Tensor

    def __init__(self, space: Space, channels: int, reduction: bool, statistics: Statistics, partial: int = 1) -> None:
        super().__init__()
        self.space, self.channels, self.statistics, self.partial = space, channels, statistics, partial
        self.places = every_place(space, reduction)
        c = channels // partial
        self.sources = nn.ModuleList(
            nn.ModuleDict({o: _weights(o, c, len(targets(space, s)), reduction and s < 2) for o in ordered(space)})
            for s in range(1 + space.nodes)
        )
        self.register_buffer("mean", torch.zeros(len(self.places), c))
        self.register_buffer("var", torch.ones(len(self.places), c))

    def forward(self, before: Tensor, last: Tensor, coefficients: Tensor, plan: Plan, dropout: Dropout | None = None) -> Tensor:
        """before, last: [N, C, H, W]; coefficients: of `plan`, in its order → the nodes that `plan` concatenates, [N, ·, H′, W′]."""
        rows = None
        if len(plan.every_row) < len(self.places):
            rows = plan.index("places", plan.places, self.mean.device)
        mean, var = (self.mean, self.var) if rows is None else (self.mean[rows], self.var[rows])
        keys, weights = self._living(plan)
        moving = self.training and not self.statistics.frozen
        masks = self._masks(plan, before, dropout) if dropout else {}
        run = plain.Pass(plan, keys, mean, var, self.training, moving, self.statistics.across_ranks, masks)
        compute = fused.cell if fused.suits(before) else plain.cell
        out = compute(run, (before, last), coefficients, weights)
        if moving and rows is not None:
            self.mean.index_copy_(0, rows, mean)
            self.var.index_copy_(0, rows, var)
        return out

    def _masks(self, plan: Plan, x: Tensor, dropout: Dropout) -> dict[int, Tensor]:
        """By source, 0 or 1/(1 − p) for each value that its identity skips pass on, [N, K·C, H, W]. Drawn for the inputs of all ranks."""
        n, channels, h, w = x.shape
        h, w = ((h + 1) // 2, (w + 1) // 2) if plan.reduction else (h, w)
        found = {}
        for group in plan.each():
            if plan.identity(group):
                ones = x.new_ones(dropout.total, h, w, len(group.nodes) * channels // self.partial)
                drawn = F.dropout(ones, dropout.probability)[dropout.first : dropout.first + n]
                found[group.source] = drawn.permute(0, 3, 1, 2)
        return found

    def _living(self, plan: Plan) -> tuple[list[tuple[tuple[int, str], str]], list[Tensor]]:
        """Keys and weights of what is alive."""
        keys, weights = [], []
        for group in plan.each():
            own: nn.ParameterDict = self.sources[group.source][group.operation]  # type: ignore[index]
            nodes = targets(self.space, group.source)
            places = [nodes.index(n) for n in group.nodes]
            named = {name: _pick(w, places, len(nodes)) for name, w in own.items()}
            if "even" in named:
                named = {"dense": _dense(named["even"], named["odd"], len(places))}
            for name, weight in named.items():
                keys.append(((group.source, group.operation), name))
                weights.append(weight)
        return keys, weights


def _weights(operation: str, c: int, k: int, halves: bool) -> nn.ParameterDict:
    """Parameters of one operation on the k edges that may leave a source, drawn as torch draws those of one edge."""

    def conv(*shape: int, stacked: bool = True) -> nn.Parameter:
        """[out, in, …] for each edge: U(−b, b), b = 1/√(in·…), which is torch's default for convolutions."""
        bound = prod(shape[1:]) ** -0.5
        weight = torch.empty(k, *shape).uniform_(-bound, bound)
        return nn.Parameter(weight.flatten(0, 1) if stacked else weight)

    if operation in SEPARABLE or operation in DILATED:
        size, stages = (SEPARABLE | DILATED)[operation], (1, 2) if operation in SEPARABLE else (1,)
        named = {f"depthwise_{i}": conv(c, 1, size, size) for i in stages}
        return nn.ParameterDict(named | {f"pointwise_{i}": conv(c, c, stacked=False) for i in stages})
    if operation == "conv_7x1_1x7":
        return nn.ParameterDict({"wide": conv(c, c, 1, 7), "tall": conv(c, c, 7, 1)})
    if operation == "skip_connect" and halves:
        return nn.ParameterDict({"even": conv(c // 2, c, 1, 1), "odd": conv(c - c // 2, c, 1, 1)})
    return nn.ParameterDict()


def _pick(weight: Tensor, places: Sequence[int], k: int) -> Tensor:
    """The weights of some of the k edges that are stacked in the first dimension."""
    if len(places) == k:
        return weight
    size = len(weight) // k
    parts = [weight[p * size : (p + 1) * size] for p in places]
    return torch.cat(parts) if len(parts) > 1 else parts[0]


def _dense(even: Tensor, odd: Tensor, k: int) -> Tensor:
    """The two convolutions of a factorised reduction as one on 2C channels, the even pixels first: [K·C, 2C, 1, 1]."""
    c = even.shape[1]
    halves = F.pad(even.view(k, -1, c), (0, c)), F.pad(odd.view(k, -1, c), (c, 0))
    return torch.cat(halves, 1).flatten(0, 1)[..., None, None]
