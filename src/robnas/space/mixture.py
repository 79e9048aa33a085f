"""What a supernet is told to compute: Eq. 3's weights, and which of them are alive."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from robnas.space.genotype import Genotype
from robnas.space.search_space import Space


@dataclass(frozen=True)
class Mixture:
    """Per cell kind ("normal", "reduce"), with E edges and O operations as `Space` orders them.

    Args:
        weights: [E, O], not negative: softmax rows, one-hot rows and integer multiplicities alike. Differentiable.
        edges: [E] factor of a whole edge (PC-DARTS's edge normalisation); 1 where absent. Differentiable.
        alive: [E, O] bool on the CPU: what is computed at all. Everything where absent; so a mask expresses the pruning of
            P-DARTS, DrNAS and SGAS, and a sparse one runs a single cell. It is known without asking the device.
    """

    weights: Mapping[str, Tensor]
    edges: Mapping[str, Tensor] = field(default_factory=dict)
    alive: Mapping[str, Tensor] = field(default_factory=dict)

    @classmethod
    def of(cls, genotype: Genotype, space: Space, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu") -> Mixture:
        """A single architecture: how often each operation stands on each edge. Raises UserError where `space` cannot hold it."""
        raise NotImplementedError
