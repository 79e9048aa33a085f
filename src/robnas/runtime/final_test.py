"""What a finished training is worth and how large it is: rows, and a line. Test data choose nothing before."""

from typing import Any

import torch
from lightning.pytorch import LightningDataModule, LightningModule

from robnas import provenance
from robnas.attacks.base import Attack
from robnas.attacks.training import TrainingAttack
from robnas.copies import digest, evaluation_copy
from robnas.models.build import of_architecture
from robnas.models.count import count
from robnas.probes.base import Probe
from robnas.results import Row
from robnas.runtime.per_input import PerInput
from robnas.runtime.trainer import Trainer
from robnas.statistics import wilson


def final_test(trainer: Trainer, model: LightningModule, datamodule: LightningDataModule | None) -> Row | None:
    """Run the test loop of a model that logs "test/accuracy" on the weights that training ended with; writes the row "accuracy", which it
    returns, and beside it "parameters" and, of networks that are ours to build, "flops" (multiply-adds for one image).

    What the model answered for each test input is kept as the row's outcomes. Attacks that only evaluate, and probes, stay out of it; those
    on the training measure what they did, once it is through. None where the model has no test step or no such metric, where only a part
    of the data was asked for, and after a search: what it has trained is a cell, not a model.
    """
    limit = trainer.limit_test_batches
    whole = limit is None or (isinstance(limit, float) and limit == 1.0)  # 1 is one batch, 1.0 all of them
    searched = getattr(model, "searches", False)
    if searched or not whole or trainer.fast_dev_run or type(model).test_step is LightningModule.test_step:  # type: ignore[attr-defined]
        return None
    if getattr(datamodule, "test_set", None) is None:
        return None
    callbacks: list[Any] = trainer.callbacks
    each = PerInput()
    trainer.callbacks = [*(c for c in callbacks if not isinstance(c, Attack | Probe)), each]
    try:
        trainer.test(model, datamodule=datamodule, verbose=False)
    finally:
        trainer.callbacks = callbacks
    if "test/accuracy" not in trainer.callback_metrics:
        return None
    n = len(datamodule.test_set.y)  # type: ignore[union-attr]
    hits = round(float(trainer.callback_metrics["test/accuracy"]) * n)
    origin = provenance.of_trainer(trainer)[1]
    found: dict[str, Any] = {"metric": "accuracy", "value": hits / n, "n": n, "ci": wilson(hits, n), "ci_method": "wilson"}
    share = getattr(datamodule, "members", 1.0)
    params = getattr(model, "row_params", {}) | ({"members": share} if share < 1 else {})
    common = {**origin, "kind": "train", "params": params, "victim": digest(evaluation_copy(model))}
    answers = each.found()
    if trainer.is_global_zero and len(answers.index):
        name = provenance.outcomes_name("accuracy", params, *(common.get(key) for key in ("job", "victim", "dataset")))
        found["outcomes"] = trainer.rows.write_outcomes(name, {k: getattr(answers, k) for k in ("index", "prediction", "label")})
    row = Row(**common, plugin="accuracy", **found)
    if trainer.is_global_zero:
        trainer.rows.write([row, *(Row(**common, plugin="size", metric=name, value=value) for name, value in _size(model).items())])
    try:
        for attack in callbacks:
            if isinstance(attack, TrainingAttack):
                attack.after_training(trainer, model, answers)
    finally:
        if trainer.jobs is not None:  # what attacks had trained (a clean twin) was begun after the test loop's own teardown
            trainer.jobs.teardown(trainer, model, "test")
    return row


def _size(model: LightningModule) -> dict[str, int]:
    architecture: Any = getattr(model, "architecture", None)
    if architecture is None or architecture["description"]["family"] not in ("nas", "manual"):  # others' code may need its weights
        return {"parameters": sum(p.numel() for p in model.parameters())}
    with torch.device("meta"):
        size = count(of_architecture(architecture), tuple(architecture["image_shape"]))
    return {"parameters": size.parameters, "flops": size.flops}
