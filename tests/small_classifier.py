"""A classifier of digits that trains in a moment: three cells, four channels, a few batches."""

from pathlib import Path
from typing import Any

from robnas.data.digits import Digits
from robnas.runtime.trainer import Trainer
from robnas.tasks.classifier import Classifier

SMALL = {"layers": 3, "init_channels": 4}


def classifier(kind: type[Classifier] = Classifier, *, options: dict[str, Any] | None = None, **arguments: Any) -> Classifier:
    return kind(**{"network": "darts", "options": SMALL | (options or {})} | arguments)


def trainer(folder: Path | str, **arguments: Any) -> Trainer:
    few = {"max_epochs": 1, "limit_train_batches": 2, "num_sanity_val_steps": 0, "enable_checkpointing": False}
    quiet = {"logger": False, "enable_progress_bar": False, "accelerator": "cpu", "devices": 1}
    return Trainer(**{"default_root_dir": str(folder)} | few | quiet | arguments)


def digits(**arguments: Any) -> Digits:
    """1,293 images to train, 144 to validate, 360 to test."""
    return Digits(**{"batch_size": 32, "seed": 0} | arguments)


def fitted(folder: Path | str, kind: type[Classifier] = Classifier, **arguments: Any) -> tuple[Trainer, Classifier]:
    """A run folder with its checkpoints: the trainer, and the module as its training left it."""
    t, task = trainer(folder, enable_checkpointing=True, **arguments), classifier(kind)
    t.fit(task, digits())
    return t, task
