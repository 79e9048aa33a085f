"""The loss filter: it finds flipped labels where they can be found, and a run with it is as reproducible as one without."""

import pytest
import torch
from lightning.pytorch import Callback

from robnas.attacks.defences.loss_filter import LossFilter, smallest
from robnas.attacks.poisoning import LabelFlip, Record
from robnas.errors import UserError
from robnas.results import Rows
from robnas.runtime.final_test import final_test
from robnas.runtime.loggers import read
from small_poisoned import Stop, StopAt, colours, fit, same


class Drawn(Callback):
    """By epoch, in order, what training drew."""

    def __init__(self):
        self.of = {}

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.of.setdefault(trainer.current_epoch, []).extend(batch.index.tolist())


def flip(rate=0.3):
    return LabelFlip(rate=rate, clean="none", watched=0)


def test_the_smallest_by_hand():
    assert smallest(torch.tensor([3.0, 1.0, torch.nan, 1.0, 2.0, 1.0]), 2).tolist() == [1, 3]
    assert smallest(torch.tensor([3.0, 1.0, torch.nan, 1.0, 2.0, 1.0]), 5).tolist() == [0, 1, 3, 4, 5]


def test_it_finds_what_was_flipped(tmp_path):
    drawn, keep = Drawn(), LossFilter(drop=0.3, start=2, every=2)
    trainer, model, data = fit(tmp_path, flip(), keep, drawn, data=colours(augment=False), max_epochs=5)
    flipped = set(Record.read(tmp_path).index.tolist())
    assert set(data.parts()[0].tolist()) - set(keep.kept.tolist()) == flipped  # four colours are easily told apart
    assert [len(drawn.of[epoch]) for epoch in range(5)] == [160, 160, 96, 96, 96]  # 112 stay: three batches of 32
    assert all(set(drawn.of[epoch]) <= set(keep.kept.tolist()) for epoch in (4,))
    assert trainer.reload_dataloaders_every_n_epochs == 0
    final_test(trainer, model, data)
    found = {row.metric: row for row in Rows(tmp_path / "results.jsonl").read() if row.plugin == "lossfilter"}
    assert {name: row.value for name, row in found.items()} == {"dropped": 0.3, "filter_precision": 1.0, "filter_recall": 1.0}
    assert (found["dropped"].n, found["filter_precision"].n, found["filter_recall"].n) == (160, 48, 48)
    logged = [row["filter/recall"] for row in read(tmp_path / "metrics.csv") if row.get("filter/recall")]
    assert len(logged) == 2  # after the second and the fourth epoch
    assert float(logged[-1]) == 1.0


def test_a_batch_is_a_function_of_seed_epoch_and_what_is_kept(tmp_path):
    drawn, keep = Drawn(), LossFilter(drop=0.3, start=1, every=9)
    fit(tmp_path, flip(), keep, drawn)
    order = colours().loader(colours().sets()[0], keep.kept, 0, "train").batch_sampler
    order.set_epoch(2)
    assert drawn.of[2] == order.order()[:96].tolist()


def test_without_an_attack_there_is_nothing_to_be_right_about(tmp_path):
    trainer, model, data = fit(tmp_path, LossFilter(drop=0.5, start=1))
    final_test(trainer, model, data)
    assert [row.metric for row in Rows(tmp_path / "results.jsonl").read() if row.plugin == "lossfilter"] == ["dropped"]


def test_a_filter_that_drops_nothing_changes_nothing(tmp_path):
    _, with_it, _ = fit(tmp_path / "a", flip(), LossFilter(drop=0.0, start=1, every=1))
    _, without, _ = fit(tmp_path / "b", flip())
    assert same(with_it, without)


@pytest.mark.parametrize("step", [5, 7, 10, 12])
def test_a_killed_run_ends_with_the_same_bits(tmp_path, step):
    def filtered():
        return LossFilter(drop=0.3, start=1, every=2)

    options = {"max_epochs": 4, "save_every_n_steps": 1}
    _, whole, _ = fit(tmp_path / "whole", flip(), filtered(), **options)
    with pytest.raises(Stop):
        fit(tmp_path / "left", flip(), filtered(), StopAt(step), **options)
    last = str(tmp_path / "left" / "checkpoints" / "last.ckpt")
    _, resumed, _ = fit(tmp_path / "left", flip(), filtered(), ckpt=last, **options)
    assert same(whole, resumed)
    of = [[{k: v for k, v in row.items() if k != "seconds"} for row in read(tmp_path / name / "metrics.csv")] for name in ("whole", "left")]
    assert of[0] == of[1]


@pytest.mark.parametrize(
    ("arguments", "says"), [({"drop": 1.0}, r"drop: 1.0 is not in \[0, 1\)"), ({"start": 0}, "start: 0"), ({"every": 0}, "every: 0")]
)
def test_wrong_arguments_are_one_line(arguments, says):
    with pytest.raises(UserError, match=says):
        LossFilter(**arguments)


def test_a_batch_must_stay(tmp_path):
    with pytest.raises(UserError, match=r"drop: 0.9 leaves 16 inputs, fewer than data.batch_size: 32"):
        fit(tmp_path, LossFilter(drop=0.9, start=1))
    with pytest.raises(UserError, match=r"start: 3 leaves no epoch of trainer.max_epochs: 3"):
        fit(tmp_path, LossFilter(start=3))
