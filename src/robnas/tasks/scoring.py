"""How a sampled search has its architectures scored: what the evaluator is shown, what is asked for once, what is remembered."""

from collections.abc import Iterator, Sequence
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from robnas.data.base import as_float
from robnas.errors import require
from robnas.search.evaluator import WORST, Evaluator, Scene, key
from robnas.search.history import History
from robnas.space.genotype import Genotype

if TYPE_CHECKING:
    from robnas.tasks.sampled_search import SampledSearch


class Scoring:
    """Where an architecture has one score (`Evaluator.fixed`) it is evaluated once; whoever proposes it again is told the same.

    What could not be scored counts as `WORST`, but that is never kept: proposed again, it is evaluated again.

    Args:
        evaluator: scores architectures.
    """

    def __init__(self, evaluator: Evaluator) -> None:
        self.evaluator = evaluator
        self.told = History()
        """The scores of all that was told."""
        self.evaluations = 0
        """How often the evaluator was asked for a score."""
        self.failed = 0
        """How often there was none."""
        self.known: dict[str, float] = {}
        """Of architectures that have a score for good."""
        self._half: Any = None  # its loader, whose worker processes take long to start

    def scores(self, genotypes: Sequence[Genotype], scene: Scene, settled: bool) -> list[float]:
        """One for each. settled: no weights are trained any more that a score depends on."""
        keys = [key(g) for g in genotypes]
        kept = self.known if self.evaluator.fixed and settled else {}
        new = dict(pair for pair in zip(keys, genotypes, strict=True) if pair[0] not in kept)
        if not new:
            return [kept[k] for k in keys]
        found = dict(zip(new, self.evaluator.scores(list(new.values()), scene), strict=True))
        for score in found.values():
            finite = score is None or isfinite(score)
            require(finite, f"evaluator: {type(self.evaluator).__name__} gave {score}; a searcher needs a number")
        good = {k: score for k, score in found.items() if score is not None}
        self.evaluations += len(found)
        self.failed += len(found) - len(good)
        kept.update(good)
        return [kept.get(k, WORST) for k in keys]

    def scene(self, task: "SampledSearch", batch: Any) -> Scene:
        """What the evaluator may look at. batch: of the validation half, (x: [B, C, H, W] in [0, 1], y: [B], …)."""
        return Scene(
            x=batch[0],
            y=batch[1],
            space=task.space,
            data=task.data,
            seed=task.seed,
            folder=Path(task.trainer.default_root_dir),
            validation=lambda: self._validation(task),
            logits=task.with_batch_moments if self.evaluator.shares_weights else None,
            jobs=getattr(task.trainer, "jobs", None),
            config=getattr(task.trainer, "config", None),
            scored=self.evaluations - self.failed,
        )

    def _validation(self, task: "SampledSearch") -> Iterator[tuple[Tensor, Tensor]]:
        """The validation half as it is, in order, in this rank's shares."""
        self._half = self._half or task.trainer.datamodule.val_dataloader()  # type: ignore[attr-defined]
        for batch in self._half:
            x, y, _ = as_float(batch, task.dtype)  # type: ignore[arg-type]
            yield x.to(task.device), y.to(task.device)

    def figures(self) -> dict[str, float]:
        """Evaluations so far, and where there are children or the like, how many failed."""
        failed = {} if self.evaluator.shares_weights else {"failed": float(self.failed)}
        return {"evaluations": float(self.evaluations)} | failed

    def state(self) -> dict[str, Any]:
        """Tensors and plain values, as a checkpoint holds them."""
        return {"told": self.told.state(), "known": dict(self.known), "evaluations": self.evaluations, "failed": self.failed}

    def rebuild(self, state: dict[str, Any]) -> None:
        """The reverse of `state`."""
        self.told, self.known = History.of(state["told"]), dict(state["known"])
        self.evaluations, self.failed = state["evaluations"], state["failed"]
