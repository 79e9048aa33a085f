"""What a finished training is worth: its weights on the test data, as a row and as a line. Test data choose nothing before."""

from typing import Any

from lightning.pytorch import LightningDataModule, LightningModule

from robnas import results
from robnas.attacks.base import Attack
from robnas.copies import digest, evaluation_copy
from robnas.probes.base import Probe
from robnas.results import Row
from robnas.runtime.trainer import Trainer
from robnas.statistics import wilson


def final_test(trainer: Trainer, model: LightningModule, datamodule: LightningDataModule | None) -> Row | None:
    """Run the test loop of a model that logs "test/accuracy" on the weights that training ended with; writes the row "accuracy".

    Attacks and probes of the training stay out of it. None where the model has no test step or no such metric, where only a part of the
    data was asked for, and after a search: what it has trained is a cell, not a model.
    """
    limit = trainer.limit_test_batches
    whole = limit is None or (isinstance(limit, float) and limit == 1.0)  # 1 is one batch, 1.0 all of them
    searched = getattr(model, "searches", False)
    if searched or not whole or trainer.fast_dev_run or type(model).test_step is LightningModule.test_step:  # type: ignore[attr-defined]
        return None
    if getattr(datamodule, "test_set", None) is None:
        return None
    callbacks: list[Any] = trainer.callbacks
    trainer.callbacks = [c for c in callbacks if not isinstance(c, Attack | Probe)]
    try:
        trainer.test(model, datamodule=datamodule, verbose=False)
    finally:
        trainer.callbacks = callbacks
    if "test/accuracy" not in trainer.callback_metrics:
        return None
    n = len(datamodule.test_set.y)  # type: ignore[union-attr]
    hits = round(float(trainer.callback_metrics["test/accuracy"]) * n)
    origin = results.of_trainer(trainer)[1]
    found: dict[str, Any] = {"metric": "accuracy", "value": hits / n, "n": n, "ci": wilson(hits, n), "ci_method": "wilson"}
    share = getattr(datamodule, "members", 1.0)
    params = getattr(model, "row_params", {}) | ({"members": share} if share < 1 else {})
    found |= {"params": params, "victim": digest(evaluation_copy(model))}
    row = Row(**origin | {"kind": "train", "plugin": "accuracy"} | found)
    if trainer.is_global_zero:
        trainer.rows.write([row])
    return row
