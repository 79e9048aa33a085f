"""Depth, width, skips, convolutions and density of the cells (Table 3; Fig. 14's discussion), and where they stand among random ones."""

import warnings

import torch
from lightning.pytorch import Trainer
from torch import Tensor, nn

from robnas.probes.base import Measurement, Probe
from robnas.space.facts import CELL_FACTS, ranked
from robnas.space.genotype import Genotype


class Cells(Probe):
    """Depth, width, skip connects, convolutions and density of both cells, and the percentile of each among random cells.

    Named `normal/depth`, `normal/depth_percentile`, …, `reduce/density_percentile`; there are 1,000 random cells. In the fit of a search
    these are the cells as they would be derived at that hook, so "epoch_end" follows what it passes through; of a network they are the
    cells that it is made of. They come from the genotype alone: no input is looked at, and nothing has an interval but the percentile,
    whose standard error is at most 1.6. A network without cells gets a warning, and no numbers.

    Args:
        hooks: when, in `fit`.
    """

    def __init__(self, hooks: tuple[str, ...] = ("fit_end",)) -> None:
        self.hooks = hooks

    def measure(self, model: nn.Module, x: Tensor, y: Tensor) -> Measurement:
        """x: [N, C, H, W] and y: [N] do not count."""
        genotype = genotype_of(model)
        if genotype is None:
            warnings.warn(f"cells: {_name(model)} has no cells; nothing was measured", stacklevel=2)
            return Measurement()
        return Measurement(**numbers(genotype))

    def find(self, trainer: Trainer, model: nn.Module, device: torch.device) -> tuple[Measurement, int]:
        """Of one architecture; any data will do."""
        return self.measure(model, torch.empty(0), torch.empty(0)), 1


def numbers(genotype: Genotype) -> dict[str, float]:
    """Both cells: {"normal/depth": 3.0, "normal/depth_percentile": 17.6, …}."""
    found: dict[str, float] = {}
    for kind in genotype.cells:
        facts = ranked(genotype, kind)
        for name in CELL_FACTS:
            found |= {f"{kind}/{name}": float(facts[name]), f"{kind}/{name}_percentile": facts["percentile"][name]}
    return found


def genotype_of(model: nn.Module) -> Genotype | None:
    """Of a search, what it would derive now; of a network, what it is made of; None where there is neither."""
    derive = getattr(getattr(model, "searcher", None), "derive", None)
    found = derive() if derive is not None else next((g for m in model.modules() if (g := getattr(m, "genotype", None)) is not None), None)
    return found if isinstance(found, Genotype) else None


def _name(model: nn.Module) -> str:
    """LightningModule → Normalized → the network itself."""
    for inner in ("model", "network"):
        model = getattr(model, inner, model) if isinstance(getattr(model, inner, None), nn.Module) else model
    return type(model).__name__
