"""The last line of a training: its accuracy on the test data, as a row."""

import pytest
import torch
from lightning.pytorch import Callback, LightningModule
from torch import nn

from robnas.attacks.pgd import PGD
from robnas.attacks.victim import Victim
from robnas.results import Rows
from robnas.runtime.final_test import final_test
from robnas.statistics import wilson
from robnas.tasks.classifier import Classifier
from small_classifier import classifier, digits, fitted, trainer

PROVENANCE = {"job": "3fa9c1", "dataset": "Digits", "model": "darts", "family": "nas", "train_seed": 0, "protocol": "sound"}


@pytest.fixture
def run(tmp_path):
    t, task = fitted(tmp_path, limit_train_batches=20, callbacks=[PGD(max_inputs=8, steps=1)])
    t.provenance = dict(PROVENANCE)
    return t, task


def test_the_row_says_what_the_weights_at_the_end_of_training_are_worth(run, tmp_path):
    t, task = run
    data = digits(batch_size=100)
    data.setup()
    row = final_test(t, task, data)
    images = data.sets()[1]
    with torch.no_grad():
        hits = int((task.eval()(images.x.float() / 255).argmax(1) == images.y).sum())
    assert 36 < hits < 360
    assert (row.metric, row.value, row.n) == ("accuracy", hits / 360, 360)
    assert (row.ci, row.ci_method) == (wilson(hits, 360), "wilson")
    assert (row.kind, row.plugin) == ("train", "accuracy")
    assert {name: getattr(row, name) for name in PROVENANCE} == PROVENANCE
    assert row.victim == Victim.prepare(task).digest  # an attack's rows name the same weights
    first, *sizes = Rows(tmp_path / "results.jsonl").read()  # and no row of an attack
    assert first == row
    assert {s.metric: s.value for s in sizes} == {"parameters": sum(p.numel() for p in task.parameters()), "flops": multiply_adds(task)}
    assert {(s.kind, s.plugin, s.victim, s.job) for s in sizes} == {("train", "size", row.victim, row.job)}


def multiply_adds(task):
    """By hand: a convolution or linear layer costs its weights once a pixel of its output."""
    costs = []

    def note(module, inputs, output):
        costs.append(module.weight.numel() * output[0].numel() // output.shape[1])

    for module in task.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.register_forward_hook(note)
    with torch.no_grad():
        task.eval()(torch.rand(1, *task.data["image_shape"]))
    return sum(costs)


def test_a_second_test_replaces_the_row(run, tmp_path):
    t, task = run
    data = digits()
    data.setup()
    assert final_test(t, task, data) == final_test(t, task, data)
    assert [row.metric for row in Rows(tmp_path / "results.jsonl").read()] == ["accuracy", "parameters", "flops"]


def test_attacks_stay_out_of_it_and_other_callbacks_do_not(tmp_path):
    class Count(Callback):
        batches = 0

        def on_test_batch_end(self, *_):
            self.batches += 1

    class Forbidden(PGD):
        def on_test_start(self, *_):
            raise AssertionError

    count = Count()
    t, task = fitted(tmp_path, callbacks=[count, Forbidden()])
    callbacks = list(t.callbacks)
    data = digits(batch_size=100)
    data.setup()
    final_test(t, task, data)
    assert count.batches == 4
    assert t.callbacks == callbacks


def test_callbacks_come_back_after_an_error(tmp_path):
    class BrokenError(Exception):
        pass

    class Broken(Classifier):
        def test_step(self, batch, batch_idx):
            raise BrokenError

    t, task = fitted(tmp_path, Broken, callbacks=[PGD()])
    callbacks = list(t.callbacks)
    data = digits()
    data.setup()
    with pytest.raises(BrokenError):
        final_test(t, task, data)
    assert t.callbacks == callbacks


class Untested(LightningModule):
    pass


class Silent(Classifier):
    def test_step(self, batch, batch_idx):
        pass


class OfASearch(Classifier):
    """As a search, it trains on both halves of the data, and not the model that will be used."""

    searches = True


@pytest.mark.parametrize("limit", [1, 2, 0.5, 0])
def test_a_part_of_the_test_data_makes_no_row(tmp_path, limit):
    t, data = trainer(tmp_path, limit_test_batches=limit), digits()
    data.setup()
    assert final_test(t, classifier(), data) is None
    assert not (tmp_path / "results.jsonl").exists()


@pytest.mark.parametrize("kind", [Untested, Silent, OfASearch])
def test_what_has_no_accuracy_makes_no_row(tmp_path, kind):
    t, data = trainer(tmp_path), digits()
    data.setup()
    assert final_test(t, kind() if kind is Untested else classifier(kind), data) is None
    assert not (tmp_path / "results.jsonl").exists()


def test_without_test_data_there_is_no_row(tmp_path):
    t, task = fitted(tmp_path)
    assert final_test(t, task, None) is None
