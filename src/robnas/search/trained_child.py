"""Scores from trainings: every architecture is a child, trained on its own (Zoph and Le, 2017, §3.2; Real et al., 2019)."""

import csv
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import yaml

from robnas import atomic, collectives, jobs
from robnas.errors import UserError, require
from robnas.identity import identity_of
from robnas.search.evaluator import Evaluator, Scene, canonical
from robnas.space.genotype import Genotype

SAME_TRAINER = ("accelerator", "precision", "deterministic", "benchmark")
"""What a child's trainer has from that of the search."""


class TrainedChild(Evaluator):
    """A child is a small network of the architecture's cells, trained as `robnas fit` trains any network (SGD, cosine, Table 6).

    Its score is its accuracy after the last epoch on the part of the training set that the data hold out (`data.validation`); test data
    are not looked at. Zoph et al. (2018) train children of 8 cells and 32 channels for 20 epochs, Real et al. (2019) of 11 and 24 for 25;
    both by recipes of their own, here it is the recipe of every final training.

    A child is a job: the same architecture with the same settings, data and seed is one folder below `<experiment>-children`, trained
    once, found again by every later search of that experiment, and gone on with after a kill. Several are trained side by side.

    Args:
        epochs: of each child; §5.2's "more training before evaluating" is more of them.
        layers: cells of a child.
        init_channels: channels of a node in its first cells.
        learning_rate: of its weights, at the start; a cosine brings it to zero over the epochs.
        workers: children at a time; None: one for each CUDA device, or for each core. No score depends on it.
        recipe: further arguments of `Classifier`, such as {label_smoothing: 0.1}.
        trainer: further arguments of the child's trainer, such as {limit_train_batches: 10}.
        keep_weights: of trained children; thousands of them fill a disk, and their scores need none.
    """

    scales: ClassVar[dict[str, dict[str, Any]]] = {"tiny": {"epochs": 2, "layers": 3, "init_channels": 4}}  # 40 steps of digits

    def __init__(
        self,
        epochs: int = 20,
        layers: int = 8,
        init_channels: int = 32,
        learning_rate: float = 0.025,
        workers: int | None = None,
        recipe: dict[str, Any] | None = None,
        trainer: dict[str, Any] | None = None,
        keep_weights: bool = False,
    ) -> None:
        require(epochs >= 1, f"epochs: {epochs} is less than 1")
        require(layers >= 1, f"layers: {layers} is less than 1")
        require(init_channels >= 1, f"init_channels: {init_channels} is less than 1")
        require(learning_rate > 0, f"learning_rate: {learning_rate} is not positive")
        require(workers is None or workers >= 1, f"workers: {workers} is less than 1")
        self.epochs, self.layers, self.init_channels, self.learning_rate = epochs, layers, init_channels, learning_rate
        self.workers, self.recipe, self.trainer, self.keep_weights = workers, recipe, trainer, keep_weights

    def scores(self, genotypes: Sequence[Genotype], scene: Scene) -> list[float | None]:
        """The first rank has the children trained, the others wait for the scores, be it for days. None for a child that failed.

        Raises UserError where every child fails before any was ever trained: then it is not the architectures.
        """
        if scene.jobs is None:
            raise UserError("evaluator: trained_child needs robnas's own Trainer, whose workers train the children")
        if not scene.config:
            raise UserError("evaluator: trained_child needs the configuration of the run: search by `robnas fit`")
        held_out = ((scene.config.get("data") or {}).get("init_args") or {}).get("validation", 0.1)
        require(held_out > 0, f"data.validation: {held_out} leaves nothing by which a child could be scored; allowed: above 0")
        return collectives.from_first(lambda: self._trained(genotypes, scene))

    def _trained(self, genotypes: Sequence[Genotype], scene: Scene) -> list[float | None]:
        assert scene.jobs is not None
        assert scene.config is not None
        children = [self.child(genotype, scene.config) for genotype in genotypes]
        files = [scene.folder / "children" / f"{identity_of(child)[:12]}.yaml" for child in children]
        for file, child in zip(files, children, strict=True):
            atomic.write(file, yaml.safe_dump(child, sort_keys=False, allow_unicode=True, width=120))
        folders = scene.jobs([["fit", "--config", str(file)] for file in files], self.workers)
        any_good = scene.scored > 0 or any(folder is not None for folder in folders)
        require(any_good, f"no child could be trained: the logs in {scene.folder / 'children'} say why")
        scores = [None if folder is None else last_accuracy(folder) for folder in folders]
        for folder in folders:
            if folder is not None and not self.keep_weights:
                shutil.rmtree(folder / "checkpoints", ignore_errors=True)
        return scores

    def child(self, genotype: Genotype, config: Mapping[str, Any]) -> dict[str, Any]:
        """The child's own configuration, from that of the search."""
        network = {"network": canonical(genotype).to_yaml(), "learning_rate": self.learning_rate}
        size = {"options": {"layers": self.layers, "init_channels": self.init_channels}}
        given = config.get("trainer") or {}
        trainer = {key: given[key] for key in SAME_TRAINER if given.get(key) is not None}
        no_test = {"limit_test_batches": 0}
        return {
            "experiment": f"{config.get('experiment') or 'search'}{jobs.CHILDREN}",
            "runs": config.get("runs") or "runs",
            "seed_everything": config.get("seed_everything"),
            "protocol": config.get("protocol") or "custom",
            "wandb": "off",
            "model": {"class_path": "Classifier", "init_args": {**network, **size, **(self.recipe or {})}},
            "data": config["data"],
            "trainer": {**trainer, "devices": 1, "max_epochs": self.epochs, **no_test, **(self.trainer or {})},
        }


def last_accuracy(folder: Path) -> float:
    """In [0, 1], on what was held out, after the last epoch of a finished training. Raises UserError where it is not there."""
    with (folder / "metrics.csv").open(encoding="utf-8", newline="") as file:
        found = [row["valid/accuracy"] for row in csv.DictReader(file) if row.get("valid/accuracy")]
    require(len(found) > 0, f"{folder / 'metrics.csv'} has no valid/accuracy: are there validation data?")
    return float(found[-1])
