"""The supernet of DARTS (Liu et al., 2019): every architecture of a space at once, told by a `Mixture` what to compute."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from robnas import collectives
from robnas.batch_norm import batch_norm
from robnas.errors import require
from robnas.space.mixed_cell import Dropout, MixedCell, Statistics
from robnas.space.mixture import Mixture
from robnas.space.plain import both_grids
from robnas.space.plan import Plan
from robnas.space.search_space import CELL_KINDS, Space
from robnas.space.stack import reductions

PLANS = 256
"""So many are kept: a search that samples makes a new one in every step."""


class Norm(nn.BatchNorm2d):
    """Batch norm that obeys the supernet's `Statistics`."""

    def __init__(self, channels: int, statistics: Statistics, affine: bool = False) -> None:
        super().__init__(channels, affine=affine)
        self.statistics = statistics

    def forward(self, x: Tensor) -> Tensor:
        """x: [N, C, H, W] → the same."""
        still = self.training and self.statistics.frozen
        running = (None, None) if still else (self.running_mean, self.running_var)
        return batch_norm(x, *running, self.weight, self.bias, training=self.training, across_ranks=self.statistics.across_ranks)


class Preprocess(nn.Module):
    """1×1 convolution and BN that bring a cell's input to C channels; `halve` reads even and odd pixels, each for half of the channels."""

    def __init__(self, c_in: int, c_out: int, halve: bool, statistics: Statistics) -> None:
        super().__init__()
        parts = (c_out // 2, c_out - c_out // 2) if halve else (c_out,)
        self.convs = nn.ModuleList(nn.Conv2d(c_in, c, 1, bias=False) for c in parts)
        self.norm = Norm(c_out, statistics)

    def forward(self, r: Tensor) -> Tensor:
        """r: [N, c_in, H, W], behind its ReLU → [N, c_out, ·, ·]."""
        inputs = both_grids(r).chunk(2, 1) if len(self.convs) == 2 else (r,)
        out: Tensor = self.norm(torch.cat([_pointwise(x, conv) for conv, x in zip(self.convs, inputs, strict=True)], 1))
        return out


def _pointwise(x: Tensor, conv: nn.Module) -> Tensor:
    """A 1×1 convolution as the matrix product that it is in channels_last: on a CPU four times as fast as torch's convolution."""
    weight: Tensor = conv.get_parameter("weight")
    return F.linear(x.permute(0, 2, 3, 1), weight.flatten(1)).permute(0, 3, 1, 2)


class Layer(nn.Module):
    """A cell and what stands before it."""

    def __init__(self, kind: str, before: Preprocess, last: Preprocess, cell: MixedCell) -> None:
        super().__init__()
        self.kind, self.before, self.last, self.cell = kind, before, last, cell


class _Told(NamedTuple):
    """A mixture for one kind of cell: the groups to compute and their coefficients."""

    plan: Plan
    coefficients: Tensor


class Supernet(nn.Module):
    """Cells whose edges carry a weighted sum of operations: o(x) = Σ w · BN(op(x)), Eq. 3 with any weights. It owns no architecture.

    Batch norms in the cells have no weights of their own, as in DARTS's search; the factor of an operation takes their place.

    Args:
        space: operations and nodes.
        num_classes: length of a row of logits.
        in_channels: channels of an image.
        layers: cells; those at ⌊layers/3⌋ and ⌊2·layers/3⌋ are reduction cells.
        init_channels: C of a node in the first cells; every reduction doubles it.
        stem_multiplier: the stem has this many times `init_channels`.
        across_ranks: whether the batch of every batch norm is that of all ranks.
        concat: per cell kind, the nodes that make up the output, where they differ from the space's or between kinds.
        partial: K; one of so many channels goes through the operations, the others pass by (`partial.py`). 1: all of them.
    """

    def __init__(
        self,
        space: Space | None = None,
        *,
        num_classes: int = 10,
        in_channels: int = 3,
        layers: int = 8,
        init_channels: int = 16,
        stem_multiplier: int = 3,
        across_ranks: bool = False,
        concat: Mapping[str, tuple[int, ...]] | None = None,
        partial: int = 1,
    ) -> None:
        super().__init__()
        for name, value in {"num_classes": num_classes, "layers": layers, "init_channels": init_channels}.items():
            require(value >= 1, f"{name}: {value} is below 1")
        divides = partial >= 1 and init_channels % partial == 0
        require(divides, f"partial: one of {partial} channels cannot be mixed where a node has {init_channels} (init_channels)")
        self.space, self.partial = space or Space(), partial
        self.outputs = {kind: tuple((concat or {}).get(kind, self.space.outputs)) for kind in CELL_KINDS}
        for kind, nodes in self.outputs.items():
            known = range(2, 2 + self.space.nodes)
            require(len(nodes) > 0 and set(nodes) <= set(known), f"concat of {kind}: {list(nodes)} are not all among nodes {list(known)}")
        self.statistics = Statistics(across_ranks)
        self._plans: OrderedDict[tuple[str, bytes, tuple[int, ...]], Plan] = OrderedDict()

        c_before = c_last = stem_multiplier * init_channels
        self.stem = nn.Sequential(nn.Conv2d(in_channels, c_last, 3, padding=1, bias=False), Norm(c_last, self.statistics, affine=True))
        self.layers, c, halve = nn.ModuleList(), init_channels, False
        for i in range(layers):
            reduction = i in reductions(layers)
            c, kind = (2 * c, "reduce") if reduction else (c, "normal")
            before, last = Preprocess(c_before, c, halve, self.statistics), Preprocess(c_last, c, False, self.statistics)
            self.layers.append(Layer(kind, before, last, MixedCell(self.space, c, reduction, self.statistics, partial)))
            c_before, c_last, halve = c_last, c * len(self.outputs[kind]), reduction
        self.classifier = nn.Linear(c_last, num_classes)

    def forward(self, x: Tensor, mixture: Mixture) -> Tensor:
        """x: [N, in_channels, H, W] → logits [N, num_classes]. Weights that the mixture leaves out get no gradient."""
        mixture.check(self.space)
        told = {kind: self._told(mixture, kind) for kind in CELL_KINDS}
        dropout = self._dropout(mixture, len(x))
        last = self.stem(x.contiguous(memory_format=torch.channels_last))
        r_before = r_last = F.relu(last)
        for layer in self.layers:
            plan, coefficients = told[layer.kind]  # type: ignore[index]
            last = layer.cell(layer.before(r_before), layer.last(r_last), coefficients, plan, dropout)  # type: ignore[operator]
            r_before, r_last = r_last, F.relu(last)
        logits: Tensor = self.classifier(last.mean((2, 3)))
        return logits

    @property
    def cells(self) -> list[MixedCell]:
        """From the stem to the classifier."""
        return [layer.cell for layer in self.layers]  # type: ignore[misc]

    @contextmanager
    def frozen_statistics(self) -> Iterator[None]:
        """Forward passes inside leave running statistics alone: those of a finite difference, whose weights nobody keeps."""
        held, self.statistics.frozen = self.statistics.frozen, True
        try:
            yield
        finally:
            self.statistics.frozen = held

    def _told(self, mixture: Mixture, kind: str) -> _Told:
        plan, weights = self._plan(mixture, kind), mixture.weights[kind]
        edges = mixture.edges.get(kind)
        if edges is not None:
            weights = weights * edges[:, None]
        coefficients = weights.flatten().index_select(0, plan.index("coefficients", plan.coefficients, weights.device))
        if self.partial > 1:
            edges = weights.new_ones(len(self.space.edges)) if edges is None else edges
            coefficients = torch.cat((coefficients, edges.index_select(0, plan.index("edges", plan.edges, edges.device))))
        return _Told(plan, coefficients)

    def _plan(self, mixture: Mixture, kind: str) -> Plan:
        alive, outputs = mixture.alive.get(kind), self.outputs[kind]
        counted = mixture.outputs.get(kind, outputs)
        key = kind, b"" if alive is None else alive.numpy().tobytes(), tuple(counted)
        if key not in self._plans:
            fits = len(counted) > 0 and set(counted) <= set(outputs)
            require(fits, f"mixture: outputs {list(counted)} of {kind} cells are not among the supernet's, {list(outputs)}")
            self._plans[key] = Plan(self.space, alive, outputs, kind == "reduce", counted, self.partial)
            if len(self._plans) > PLANS:
                self._plans.popitem(last=False)
        self._plans.move_to_end(key)
        return self._plans[key]

    def _dropout(self, mixture: Mixture, n: int) -> Dropout | None:
        """Ranks hold consecutive inputs of one batch."""
        if not (self.training and mixture.dropout):
            return None
        sizes = collectives.gather(n)
        return Dropout(mixture.dropout, sum(sizes[: collectives.rank()]), sum(sizes))
