"""Scores without any training: what an architecture's network promises at initialisation (Abdelfattah et al., 2021)."""

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from robnas import collectives, seeds
from robnas.errors import UserError, require, unknown
from robnas.search.evaluator import Evaluator, Scene, canonical, key
from robnas.space.genotype import Genotype
from robnas.space.network import Network
from robnas.space.untrained import SCORES


class ZeroCost(Evaluator):
    """One score of the untrained network, always on the first batch of the validation half; its weights depend on seed and architecture.

    Synaptic flow spans tens of orders of magnitude: its score is log(1 + flow), which keeps the order.

    Args:
        score: "synflow" (Tanaka et al., 2020), "nwot" (Mellor et al., 2021) or "grad_norm"; see `robnas.space.untrained`.
        layers: cells of the network.
        init_channels: channels of a node in the first cells.
    """

    scales: ClassVar[dict[str, dict[str, Any]]] = {"tiny": {"layers": 3, "init_channels": 4}}

    def __init__(self, score: str = "synflow", layers: int = 8, init_channels: int = 16) -> None:
        if score not in SCORES:
            raise unknown("score", score, SCORES)
        require(layers >= 1, f"layers: {layers} is less than 1")
        require(init_channels >= 1, f"init_channels: {init_channels} is less than 1")
        self.score, self.layers, self.init_channels = score, layers, init_channels

    def scores(self, genotypes: Sequence[Genotype], scene: Scene) -> list[float]:
        """Ranks share the architectures; each sees the whole batch."""
        if scene.validation is None:
            raise UserError("evaluator: ZeroCost needs data with a validation part")
        x, y = _whole(*next(iter(scene.validation())))
        mean, std = (torch.tensor(scene.data[name], dtype=x.dtype, device=x.device)[:, None, None] for name in ("mean", "std"))
        mine = range(collectives.rank(), len(genotypes), collectives.world_size())
        found = {i: self._score(genotypes[i], (x - mean) / std, y, scene) for i in mine}
        everyones = {i: score for part in collectives.gather(found) for i, score in part.items()}
        return [everyones[i] for i in range(len(genotypes))]

    def _score(self, genotype: Genotype, x: Tensor, y: Tensor, scene: Scene) -> float:
        arguments = {"num_classes": scene.data["num_classes"], "in_channels": x.shape[1]}
        with torch.device("cpu"), torch.random.fork_rng([]):  # the same weights on every kind of device
            torch.manual_seed(seeds.derive(scene.seed, "untrained", key(genotype)))
            net = Network(canonical(genotype), layers=self.layers, init_channels=self.init_channels, **arguments)
        with torch.autocast(x.device.type, enabled=False):
            score = SCORES[self.score](net.to(x.device, x.dtype), x, y)
        return math.log1p(score) if self.score == "synflow" else score


def _whole(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """The batch of which every rank has a share, in the order of ranks."""
    shares = collectives.gather((x.cpu(), y.cpu()))
    return torch.cat([share[0] for share in shares]).to(x.device), torch.cat([share[1] for share in shares]).to(y.device)
