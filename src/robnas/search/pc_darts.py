"""PC-DARTS (Xu et al., 2020): partial channel connections (§3.2) and edge normalisation (§3.3)."""

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from robnas import seeds
from robnas.errors import require
from robnas.search.base import Relaxed, Stage
from robnas.space.search_space import CELL_KINDS, Space


class PCDARTS(Relaxed):
    """PC-DARTS: DARTS on a part of the channels, with weights for edges; relaxed (Xu et al., 2020).

    One of `partial` channels goes through the operations, the others pass by (Eq. 2); β weighs the edges of a node (Eq. 3).

    α and β are stepped together, by the same Adam, and stand still in the first 15 of 50 epochs: `architecture_warmup` of the task.
    The paper samples which channels go through; its authors' code takes the first C/K and shuffles afterwards, and so do we.
    γ (§5.2) damps the skip connect among the operations; what passes by and β are left alone.

    Args:
        partial: K; 4 on CIFAR10 (§4.2), 1 is DARTS with edge normalisation.
        arguments: of `Relaxed`; `init_scale` is that of β too.
    """

    # Half of eight channels: as many go through the operations as in other tiny searches, of four. With two it learns little.
    scales: ClassVar[dict[str, dict[str, Any]]] = {"tiny": {"partial": 2, "model": {"init_channels": 8, "architecture_warmup": 2}}}

    def __init__(self, partial: int = 4, **arguments: Any) -> None:
        super().__init__(**arguments)
        require(partial >= 1, f"partial: {partial} is below 1")
        self.partial = partial
        self.beta = nn.ParameterDict()

    def build(self, space: Space, seed: int) -> None:
        """α as in DARTS; β ~ N(0, init_scale²), [E] for each kind of cell."""
        super().build(space, seed)
        for kind in CELL_KINDS:
            noise = torch.randn(len(space.edges), dtype=torch.float64, device="cpu", generator=seeds.generator(seed, "beta", kind))
            self.beta[kind] = nn.Parameter((self.init_scale * noise).to(torch.get_default_dtype()))

    def stage(self, epoch: int, max_epochs: int) -> Stage:
        """One for the whole search, with K."""
        return Stage(epochs=max_epochs, partial=self.partial)

    def edges(self) -> dict[str, Tensor]:
        """Eq. 3: softmax of β over the edges that enter a node → per kind of cell [E]. Cells derive from α·β (§3.3): `weights`."""
        return {kind: normalized(beta, self.space) for kind, beta in self.beta.items()}


def normalized(beta: Tensor, space: Space) -> Tensor:
    """beta: [E], node by node as `space.edges` lists them → [E], what enters one node sums to 1."""
    incoming = list(range(2, 2 + space.nodes))  # node n may read each of the n before it
    return torch.cat([b.softmax(0) for b in torch.split(beta, incoming)])
