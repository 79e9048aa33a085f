"""The network of a genotype (§2.1, Fig. 1): its cells stacked, with two reduction cells at a third and two thirds of the depth."""

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d, avg_pool2d, dropout

from robnas.errors import require
from robnas.space.genotype import Genotype
from robnas.space.operations import FactorizedReduce, build, relu_conv_norm
from robnas.space.stack import Place, reductions, stack


class Cell(nn.Module):
    """One cell as a module; what does not reach its output is left out.

    Args:
        place: what it computes, and how wide.
        dropout: probability behind every operation but stride-1 skips.
        affine, pool_norm: as in `operations.build`.
    """

    def __init__(self, place: Place, *, dropout: float = 0.0, affine: bool = True, pool_norm: bool = False) -> None:
        super().__init__()
        self.cell, self.dropout = place.cell, dropout
        c = place.channels
        bring: Callable[..., nn.Module] = FactorizedReduce if place.after_reduction else relu_conv_norm
        self.before = bring(place.c_before, c, affine) if 0 in self.cell.used else None
        self.last = relu_conv_norm(place.c_last, c, affine) if 1 in self.cell.used else None
        self.nodes = nn.ModuleDict()
        for node, edges in self.cell.numbered():
            if node in self.cell.used:
                strides = [2 if place.reduction and e.source < 2 else 1 for e in edges]
                paths = [build(e.operation, c, s, affine=affine, pool_norm=pool_norm) for e, s in zip(edges, strides, strict=True)]
                self.nodes[str(node)] = nn.ModuleList(paths)

    def forward(self, before: Tensor, last: Tensor, drop_path: float = 0.0) -> Tensor:
        """before: [B, c_before, ·, ·], last: [B, c_last, H, W] → [B, c_out, H, W]; half of H and W where it is a reduction cell."""
        states: dict[int, Tensor] = {}
        if self.before is not None:
            states[0] = self.before(before)
        if self.last is not None:
            states[1] = self.last(last)
        for name, module in self.nodes.items():
            paths, edges = cast(nn.ModuleList, module), self.cell.nodes[int(name) - 2]
            terms = [self._path(path, states[e.source], drop_path) for path, e in zip(paths, edges, strict=True)]
            states[int(name)] = sum(terms[1:], start=terms[0])
        return torch.cat([states[node] for node in self.cell.concat], dim=1)

    def _path(self, path: nn.Module, x: Tensor, drop_path: float) -> Tensor:
        if isinstance(path, nn.Identity):  # neither dropout nor drop path, as in DARTS
            return x
        out: Tensor = dropout(path(x), self.dropout, self.training) if self.dropout else path(x)
        return drop_paths(out, drop_path) if self.training and drop_path else out


class Unread(nn.Module):
    """Stands where nobody reads a cell's output."""

    def forward(self, before: Tensor, last: Tensor, drop_path: float = 0.0) -> Tensor:
        """Any tensor will do."""
        return last


def drop_paths(x: Tensor, probability: float) -> Tensor:
    """Leaves a whole path out for some inputs, and scales it up for the others (Larsson et al., 2017). x: [B, C, H, W]."""
    keep = torch.empty(len(x), 1, 1, 1, dtype=x.dtype, device=x.device).bernoulli_(1 - probability)
    return x * keep / (1 - probability)


class AuxiliaryHead(nn.Module):
    """A second classifier on the features at two thirds of the depth, while training (Szegedy et al., 2015), as in DARTS.

    DARTS states it for 8×8 features (32×32 images). Smaller ones are pooled to 2×2 instead; of larger ones the mean is taken at the end.
    """

    def __init__(self, channels: int, num_classes: int) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(channels, 128, 1, bias=False),
            nn.BatchNorm2d(128),
            nn.ReLU(),
            nn.Conv2d(128, 768, 2, bias=False),
            nn.BatchNorm2d(768),
            nn.ReLU(),
        )
        self.classifier = nn.Linear(768, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """x: [B, channels, H, W] → logits [B, num_classes]."""
        x = x.relu()
        x = avg_pool2d(x, 5, stride=3, count_include_pad=False) if min(x.shape[2:]) >= 8 else adaptive_avg_pool2d(x, 2)
        out: Tensor = self.classifier(self.features(x).mean((2, 3)))
        return out


class Network(nn.Module):
    """DARTS's evaluation network of any genotype.

    Args:
        genotype: its two cells.
        num_classes: length of a row of logits.
        in_channels: channels of an image.
        layers: cells in all; those at ⌊layers/3⌋ and ⌊2·layers/3⌋ are reduction cells.
        init_channels: C of a node in the first cells; every reduction doubles it.
        auxiliary: whether training has a second head; its logits are in `auxiliary_logits` after a forward pass in training mode.
        drop_path: probability of leaving a path out in training; an attribute, so that a task can anneal it.
        dropout: probability behind every operation but stride-1 skips, as in the code of Pang et al. (2022).
        affine, pool_norm: as in `operations.build`; False and True give the modules of DARTS's search.
        stem_multiplier: the stem has this many times `init_channels`.

    Images of 16×16 pixels and more. Traceable by torch.fx in evaluation mode.
    """

    auxiliary_logits: Tensor | None

    def __init__(
        self,
        genotype: Genotype,
        *,
        num_classes: int,
        in_channels: int = 3,
        layers: int = 20,
        init_channels: int = 36,
        auxiliary: bool = False,
        drop_path: float = 0.0,
        dropout: float = 0.0,
        affine: bool = True,
        pool_norm: bool = False,
        stem_multiplier: int = 3,
    ) -> None:
        super().__init__()
        require(num_classes >= 1, f"num_classes: {num_classes} is below 1")
        for name, probability in {"drop_path": drop_path, "dropout": dropout}.items():
            require(0 <= probability < 1, f"{name}: {probability} is not in [0, 1)")
        self.genotype, self.drop_path, self.auxiliary_logits = genotype, drop_path, None

        stem = stem_multiplier * init_channels
        self.second = reductions(layers)[1]  # the cell behind which the auxiliary head stands
        places = stack(genotype, layers, init_channels, stem, read=(self.second,) if auxiliary else ())
        self.stem = nn.Sequential(nn.Conv2d(in_channels, stem, 3, padding=1, bias=False), nn.BatchNorm2d(stem))
        options: dict[str, Any] = {"dropout": dropout, "affine": affine, "pool_norm": pool_norm}
        self.cells = nn.ModuleList(Cell(place, **options) if place.needed else Unread() for place in places)
        self.classifier = nn.Linear(places[-1].c_out, num_classes)
        self.auxiliary = AuxiliaryHead(places[self.second].c_out, num_classes) if auxiliary else None

    def features(self, x: Tensor) -> Tensor:
        """x: [B, in_channels, H, W] → what the classifier sees, [B, D]."""
        before = last = self.stem(x)
        self.auxiliary_logits = None
        for i, cell in enumerate(self.cells):
            before, last = last, cell(before, last, self.drop_path)
            if self.training and self.auxiliary is not None and i == self.second:
                self.auxiliary_logits = self.auxiliary(last)
        out: Tensor = last.mean((2, 3))
        return out

    def forward(self, x: Tensor) -> Tensor:
        """x: [B, in_channels, H, W] → logits [B, num_classes]."""
        out: Tensor = self.classifier(self.features(x))
        return out

    def __getstate__(self) -> dict[str, Any]:
        """Without the last pass's logits, which belong to its graph: a copy of a model in mid-training has none."""
        return {**self.__dict__, "auxiliary_logits": None}
