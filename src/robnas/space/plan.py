"""Which kernels a cell runs: the living operations of a mixture, grouped by the source they read. Decided once for each mask."""

from collections.abc import Iterator, Mapping
from functools import cache, cached_property
from typing import NamedTuple

import torch
from torch import Tensor

from robnas.space.search_space import Space

SEPARABLE = {"sep_conv_3x3": 3, "sep_conv_5x5": 5, "sep_conv_7x7": 7}
"""Two stages of ReLU, depthwise convolution, pointwise convolution, BN. By kernel size."""

DILATED = {"dil_conv_3x3": 3, "dil_conv_5x5": 5}
"""One such stage, dilated by 2. By kernel size."""

POOLS = ("max_pool_3x3", "avg_pool_3x3")


class Group(NamedTuple):
    """One operation on one source, for all the nodes that want it: a single kernel.

    operation: its name; source: 0 and 1 are the cell's inputs, j ≥ 2 is node j; nodes: those it feeds, ascending, from 2.
    """

    operation: str
    source: int
    nodes: tuple[int, ...]


class Plan:
    """The groups of a cell, source by source, and where their numbers stand.

    A *row* is one batch norm of C channels: of one edge, one operation, and one of its stages. The rows of a source come in two runs:
    the first stages of its separable convolutions, and the last stages of all its operations; of these the identity, which has no
    norm, comes last. `coefficients` follow the second runs.

    Args:
        space: edges and operations.
        alive: [E, O] bool, or None for all.
        outputs: nodes that the cell concatenates.
        reduction: whether the skip connects of the cell's inputs have to halve the resolution.
        counted: those of `outputs` whose channels are not zero; all if None. What no path leads to from there is left out.
        partial: K; one of K channels goes through the operations, and the others pass by where anything is alive on an edge, zero
            included.
    """

    def __init__(
        self,
        space: Space,
        alive: Tensor | None,
        outputs: tuple[int, ...],
        reduction: bool,
        counted: tuple[int, ...] | None = None,
        partial: int = 1,
    ) -> None:
        self.space, self.outputs, self.reduction, self.partial = space, outputs, reduction, partial
        self.counted = frozenset(outputs if counted is None else counted)
        self._sent: dict[tuple[str, torch.device], Tensor] = {}
        names = ordered(space)
        if alive is None:
            lives = dict.fromkeys(space.edges, frozenset(space.operations))
        else:
            rows = zip(space.edges, alive.tolist(), strict=True)
            lives = {edge: frozenset(o for o, w in zip(space.operations, row, strict=True) if w) for edge, row in rows}
        leads = {edge for edge, there in lives.items() if there and (partial > 1 or there != {"zero"})}
        used = set(self.counted)
        for node in reversed(range(2, 2 + space.nodes)):
            if node in used:
                used |= {s for s in range(node) if (node, s) in leads}
        self.groups: dict[int, list[Group]] = {}
        self.bypass: dict[int, tuple[int, ...]] = {}
        """By source, in the order of `groups`: the nodes into which the other channels pass."""
        for source in range(1 + space.nodes):
            nodes = [n for n in targets(space, source) if n in used and (n, source) in leads]
            if nodes:
                groups = [Group(o, source, tuple(n for n in nodes if o in lives[n, source])) for o in names]
                self.groups[source] = [g for g in groups if g.nodes]
                self.bypass[source] = tuple(nodes) if partial > 1 else ()

    def identity(self, group: Group) -> bool:
        """Whether it passes its source on as it is."""
        return group.operation == "skip_connect" and not self.halves(group.source)

    def halves(self, source: int) -> bool:
        """Whether what leaves this source has half its resolution."""
        return self.reduction and source < 2

    @cached_property
    def rows(self) -> dict[int, tuple[list[Group], list[Group]]]:
        """By source: groups with a first stage, and groups with a last one."""
        return {
            source: ([g for g in groups if g.operation in SEPARABLE], [g for g in groups if not self.identity(g)])
            for source, groups in self.groups.items()
        }

    @cached_property
    def every_row(self) -> list[tuple[int, int, str, int]]:
        """(source, stage, operation, node) of every row, in order."""
        return [
            (source, stage, group.operation, node)
            for source, runs in self.rows.items()
            for stage, run in enumerate(runs)
            for group in run
            for node in group.nodes
        ]

    @cached_property
    def coefficients(self) -> list[int]:
        """For every edge and operation that is computed, in order, its place in [E, O] flattened."""
        edge, operation = {e: i for i, e in enumerate(self.space.edges)}, {o: i for i, o in enumerate(self.space.operations)}
        return [edge[n, g.source] * len(operation) + operation[g.operation] for g in self.each() for n in g.nodes]

    @cached_property
    def edges(self) -> list[int]:
        """For every edge past which channels pass, in the order of `bypass`, its place in [E]."""
        return [self.space.edges.index((node, source)) for source, nodes in self.bypass.items() for node in nodes]

    @cached_property
    def places(self) -> list[int]:
        """For every row, in order, its place among all rows that such a cell may have."""
        among = every_place(self.space, self.reduction)
        return [among[row] for row in self.every_row]

    def index(self, name: str, numbers: list[int], device: torch.device) -> Tensor:
        """`numbers` as int64 on a device; sent there once under this name, so that a pass waits for nothing."""
        if (name, device) not in self._sent:
            self._sent[name, device] = torch.tensor(numbers, dtype=torch.int64, device=device)
        return self._sent[name, device]

    def each(self) -> Iterator[Group]:
        """All groups, source by source."""
        for groups in self.groups.values():
            yield from groups


@cache
def every_place(space: Space, reduction: bool) -> Mapping[tuple[int, int, str, int], int]:
    """By row: its place in a cell of which nothing is left out."""
    everything = Plan(space, None, tuple(range(2, 2 + space.nodes)), reduction)
    return {row: place for place, row in enumerate(everything.every_row)}


def ordered(space: Space) -> list[str]:
    """The operations that compute something; `skip_connect` last, as it may have no norm."""
    return sorted((o for o in space.operations if o != "zero"), key=lambda o: (o == "skip_connect", space.operations.index(o)))


def targets(space: Space, source: int) -> range:
    """The nodes that may read this source."""
    return range(max(2, source + 1), 2 + space.nodes)
