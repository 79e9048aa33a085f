"""Scores by shared weights (Pham et al., 2018, §2.2): the supernet's accuracy along an architecture's path."""

from collections.abc import Sequence

import torch

from robnas import collectives
from robnas.errors import UserError, unknown
from robnas.search.evaluator import Evaluator, Scene
from robnas.space.genotype import Genotype
from robnas.space.mixture import Mixture

INPUTS = ("batch", "half")
"""What architectures are scored on."""


class SharedWeights(Evaluator):
    """Share of the validation inputs, in [0, 1], that the shared weights classify rightly along the architecture's path.

    Batch norms take the batch's own moments: running statistics are those of all paths together.

    Args:
        inputs: "batch": those of the step, others in every round, as in ENAS; "half": the whole validation half in order, so that
            architectures of any round can be compared with each other.
    """

    shares_weights = True

    def __init__(self, inputs: str = "batch") -> None:
        if inputs not in INPUTS:
            raise unknown("inputs", inputs, INPUTS)
        self.inputs = inputs

    @property
    def fixed(self) -> bool:
        """Only on the same inputs."""
        return self.inputs == "half"

    @torch.no_grad()
    def scores(self, genotypes: Sequence[Genotype], scene: Scene) -> list[float]:
        """Hits are counted over all ranks, so that every rank gets the same numbers, and one process too."""
        if scene.logits is None:
            raise UserError("evaluator: SharedWeights needs a task that trains shared weights")
        if self.inputs == "half" and scene.validation is None:
            raise UserError("evaluator: SharedWeights(inputs='half') needs data with a validation part")
        dtype, device = scene.x.dtype, scene.x.device
        paths = [Mixture.of(genotype, scene.space, dtype, device) for genotype in genotypes]
        batches = scene.validation() if self.inputs == "half" and scene.validation else [(scene.x, scene.y)]
        counts = torch.zeros(1 + len(paths), dtype=torch.int64, device=device)  # inputs, then each path's hits
        for x, y in batches:
            hits = [(scene.logits(x, path).argmax(1) == y).sum() for path in paths]
            counts += torch.stack([torch.tensor(len(y), device=device), *hits])
        n, *hits_of = collectives.across_ranks(counts).tolist()
        return [hits / n for hits in hits_of]
