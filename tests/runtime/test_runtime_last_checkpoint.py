"""A run that was killed after its very last checkpoint: what comes at the end of training comes when it goes on, and once."""

import json

import pytest
import torch
from lightning.pytorch import Callback

from robnas.probes.convergence import Convergence
from small_classifier import classifier, digits, trainer


class Hooks(Callback):
    def __init__(self) -> None:
        self.called: list[str] = []

    def on_train_start(self, *_):
        self.called.append("start")

    def on_train_batch_start(self, *_):
        self.called.append("batch")

    def on_train_end(self, *_):
        self.called.append("end")


def fit(folder, going_on=False, ema=0.0, **settings):
    """Two epochs of two steps, or fewer → the trainer, its module, what hooks were called, the probe's rows without their times."""
    hooks, probe = Hooks(), Convergence()
    t, task = trainer(folder, enable_checkpointing=True, callbacks=[hooks, probe], **{"max_epochs": 2} | settings), classifier(ema=ema)
    t.fit(task, digits(), ckpt_path=folder / "checkpoints" / "last.ckpt" if going_on else None, weights_only=True if going_on else None)
    rows = [json.loads(row.to_json()) | {"seconds": None} for row in probe.rows]
    return t, task, hooks.called, rows


@pytest.mark.parametrize("settings", [{}, {"max_steps": 3}])
def test_probes_at_the_end_of_a_training_look(tmp_path, settings):
    *_, called, rows = fit(tmp_path, **settings)
    assert called == ["start", *["batch"] * settings.get("max_steps", 4), "end"]
    (tmp_path / "results.jsonl").unlink()
    *_, called, again = fit(tmp_path, going_on=True, **settings)
    assert called == ["start", "end"]
    assert rows
    assert again == rows


def test_the_weights_are_the_average(tmp_path):
    _, whole, *_ = fit(tmp_path, ema=0.9)
    t, again, *_ = fit(tmp_path, going_on=True, ema=0.9)
    assert t.global_step == 4
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in whole.state_dict().items())


def test_a_second_fit_of_one_trainer_is_no_going_on(tmp_path):
    t, task, called, _ = fit(tmp_path)
    t.fit(task, digits())
    assert called.count("end") == 1


def test_a_training_of_nothing_has_no_end(tmp_path):
    *_, called, rows = fit(tmp_path, limit_train_batches=0)
    assert (called, rows) == ([], [])
