"""What a supernet is told to compute: Eq. 3's weights, and which of them are alive."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from robnas.errors import require, unknown
from robnas.space.genotype import Genotype
from robnas.space.search_space import CELL_KINDS, Space


@dataclass(frozen=True)
class Mixture:
    """Per cell kind ("normal", "reduce"), with E edges and O operations as `Space` orders them.

    Args:
        weights: [E, O], not negative: softmax rows, one-hot rows and integer multiplicities alike. Differentiable.
        edges: [E] factor of a whole edge (PC-DARTS's edge normalisation); 1 where absent. Differentiable.
        alive: [E, O] bool on the CPU: what is computed at all. Everything where absent; so a mask expresses the pruning of
            P-DARTS, DrNAS and SGAS, and a sparse one runs a single cell. It is known without asking the device.
        outputs: which of the nodes that the supernet concatenates count; the channels of the others are zero. All where absent. So one
            supernet holds cells of any concatenation: what reads a zero is as if it had no weight for it, ENAS's rule.
        dropout: probability with which a value that an identity skip passes on is left out in training, for each edge by itself (Chen
            et al., 2019, §3.3.1); the others are scaled up.
    """

    weights: Mapping[str, Tensor]
    edges: Mapping[str, Tensor] = field(default_factory=dict)
    alive: Mapping[str, Tensor] = field(default_factory=dict)
    outputs: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    dropout: float = 0.0

    @classmethod
    def of(
        cls,
        genotype: Genotype,
        space: Space,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
        *,
        concat: Mapping[str, tuple[int, ...]] | None = None,
    ) -> Mixture:
        """A single architecture: how often each operation stands on each edge. One that stands there twice is the same twice.

        Args:
            genotype: both of its cells must have the nodes and operations of `space`, and its outputs unless `space.loose_ends`.
            space: the supernet's.
            dtype, device: of the weights.
            concat: per cell kind, the supernet's own outputs where they are not those of `space`.

        Raises UserError where `space` cannot hold the genotype.
        """
        weights, free = {}, space.loose_ends and concat is None
        for kind, cell in genotype.cells.items():
            require(len(cell.nodes) == space.nodes, f"{kind}: {len(cell.nodes)} nodes, but the search space has {space.nodes}")
            outputs = space.outputs if concat is None else tuple(concat[kind])
            require(free or cell.concat == outputs, f"{kind}: concatenates nodes {list(cell.concat)}, but the supernet {list(outputs)}")
            count = torch.zeros(len(space.edges), len(space.operations), dtype=dtype)
            for node, paths in cell.numbered():
                for operation, source in paths:
                    if operation not in space.operations:
                        raise unknown("operation", operation, space.operations)
                    count[space.edges.index((node, source)), space.operations.index(operation)] += 1
            weights[kind] = count
        alive = {kind: count > 0 for kind, count in weights.items()}
        chosen = {kind: tuple(sorted(cell.concat)) for kind, cell in genotype.cells.items()} if free else {}
        return cls({kind: count.to(device) for kind, count in weights.items()}, alive=alive, outputs=chosen)

    def check(self, space: Space) -> None:
        """Raise UserError where the shapes are not those of `space`, or a mask is not known without asking a device."""
        shape = (len(space.edges), len(space.operations))
        require(0 <= self.dropout < 1, f"mixture: dropout {self.dropout} is not in [0, 1)")
        for kind in CELL_KINDS:
            require(kind in self.weights, f"mixture: no weights for {kind} cells")
            for name, value, expected in (
                ("weights", self.weights[kind], shape),
                ("edges", self.edges.get(kind), shape[:1]),
                ("alive", self.alive.get(kind), shape),
            ):
                if value is not None:
                    found = tuple(value.shape)
                    require(found == expected, f"mixture: {name} of {kind} cells are {list(found)}; the space has {list(expected)}")
            mask = self.alive.get(kind)
            if mask is not None:
                require(mask.dtype == torch.bool and mask.device.type == "cpu", f"mixture: alive of {kind} cells is not bool on the CPU")
