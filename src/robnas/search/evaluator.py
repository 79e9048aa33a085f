"""How good a sampled architecture is: the score that a searcher is told, from a replaceable evaluator."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any, ClassVar, Protocol

from torch import Tensor

from robnas.search.configured import Configured
from robnas.space.genotype import Cell, Genotype
from robnas.space.mixture import Mixture
from robnas.space.search_space import Space

WORST = 0.0
"""What a searcher is told of an architecture that could not be scored: no image right."""

Logits = Callable[[Tensor, Mixture], Tensor]
"""Shared weights: x [B, C, H, W] in [0, 1] and what to compute → logits [B, classes], with the batch's own moments."""


class Jobs(Protocol):
    """Runs robnas commands side by side."""

    def __call__(self, commands: Sequence[Sequence[str]], workers: int | None = None) -> Sequence[Path | None]:
        """argv of each, without "robnas", and how many at a time (None: as many as the machine has room for) → the run folder that each
        worked in; None where it failed.
        """


Batches = Callable[[], Iterable[tuple[Tensor, Tensor]]]
"""(x, y) batch by batch."""


@dataclass(frozen=True)
class Scene:
    """What an evaluator may look at in one round.

    Args:
        x, y: this rank's share of the step's batch of the validation half, [B, C, H, W] in [0, 1] and [B], not augmented.
        space: in which the architectures lie.
        data: num_classes, image_shape, mean, std, class_names.
        seed: of the run.
        folder: of the run.
        validation: the whole validation half as it is and in order, this rank's share of a batch at a time, (x, y) as above; it can be
            asked for again and gives the same. None where there is none.
        logits: the shared weights; None where nothing is shared.
        jobs: what trains children; None where the trainer has none.
        config: the run's resolved configuration, in plain values; empty where there is none.
        scored: how many architectures have been scored in this run so far, before it was killed too.
    """

    x: Tensor
    y: Tensor
    space: Space
    data: Mapping[str, Any]
    seed: int
    folder: Path
    validation: Batches | None = None
    logits: Logits | None = None
    jobs: Jobs | None = None
    config: Mapping[str, Any] | None = None
    scored: int = 0


class Evaluator(Configured, ABC):
    """Scores architectures."""

    group = "robnas.evaluators"
    shares_weights: ClassVar[bool] = False
    """Whether a supernet is trained for it."""

    @property
    def fixed(self) -> bool:
        """Whether an architecture has one score, in every round, as long as no shared weights are trained: it is then asked for once."""
        return True

    @abstractmethod
    def scores(self, genotypes: Sequence[Genotype], scene: Scene) -> Sequence[float | None]:
        """One number for each, higher is better, the same on every rank; None for one that could not be scored this time.

        Raises UserError where the scene lacks what it needs.
        """


def canonical(genotype: Genotype) -> Genotype:
    """Equal to it, with the edges of every node sorted: equal genotypes become one, also where the order of their edges counts."""
    cells = {kind: Cell(tuple(tuple(sorted(edges)) for edges in cell.nodes), cell.concat) for kind, cell in genotype.cells.items()}
    return Genotype(**cells)


def key(genotype: Genotype) -> str:
    """16 hexadecimal digits, equal for equal genotypes."""
    return blake2b(repr(canonical(genotype).to_dict()).encode(), digest_size=8).hexdigest()
