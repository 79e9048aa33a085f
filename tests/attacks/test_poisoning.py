"""The shape of poisoning: it acts once, touches nothing but the training part, and says what it did and what that cost."""

import numpy as np
import pytest
import torch
from lightning.pytorch import Callback
from torch.nn.functional import cross_entropy

import robnas
from robnas import jobs
from robnas.attacks.poisoning import LabelFlip, Poisoning, Record
from robnas.attacks.poisoning.clean import differences
from robnas.attacks.poisoning.record import COPY, FILE, LABEL, LEFT_OUT, PIXELS
from robnas.data.altered import Altered
from robnas.data.base import Images, as_float
from robnas.errors import UserError
from robnas.results import Rows
from robnas.runtime.final_test import final_test
from robnas.runtime.loggers import read
from robnas.search import DARTS
from robnas.tasks import Classifier, Search
from small_poisoned import SMALL, Colours, Stop, StopAt, colours, fit, same


class Seen(Callback):
    """By epoch and index, what training saw."""

    def __init__(self):
        self.x, self.y = {}, {}

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        for x, y, i in zip(*batch, strict=True):
            self.x[trainer.current_epoch, int(i)], self.y[int(i)] = x.clone(), int(y)


def flip(rate=0.3, **arguments):
    return LabelFlip(rate=rate, **{"clean": "none", "watched": 20} | arguments)


def rows(folder):
    return [{k: v for k, v in row.items() if k != "seconds"} for row in read(folder / "metrics.csv")]


def by_metric(folder):
    return {row.metric: row for row in Rows(folder / "results.jsonl").read()}


# What is done


def test_training_sees_the_new_labels_and_the_rest_stays_clean(tmp_path):
    seen, data = Seen(), colours()
    fit(tmp_path, flip(), seen, data=data, max_epochs=2)
    record, (train, test) = Record.read(tmp_path), data.sets()
    kept, held = data.parts()
    assert len(record) == round(0.3 * 160)
    assert np.isin(record.index, kept.numpy()).all()
    assert (record.kind == LABEL).all()
    assert (record.old != record.new).all()
    assert np.array_equal(record.old, train.y.numpy()[record.index])
    assert {i: y for i, y in seen.y.items() if y != train.y[i]} == dict(zip(record.index.tolist(), record.new.tolist(), strict=True))
    assert len(seen.y) == 160
    fresh = colours().sets()
    assert torch.equal(train.y, fresh[0].y)
    assert torch.equal(test.y, fresh[1].y)
    assert torch.equal(torch.cat([b.y for b in data.val_dataloader()]), fresh[0].y[held])


def test_kinds_of_change_by_hand(tmp_path):
    clean = Altered.of(Images(torch.zeros(6, 1, 2, 2, dtype=torch.uint8), torch.arange(6)))
    poisoned, new = (
        clean.relabelled(torch.tensor([1, 5]), torch.tensor([0, 0]))
        .repainted(torch.tensor([1, 2]), lambda x, i: x)
        .extended(torch.tensor([2]))
    )
    drawn = torch.cat([torch.tensor([0, 1, 2, 4]), new])  # 3 is left out; 5 was never in the pool, so that nothing has happened to it
    record = Record.of(clean, torch.tensor([0, 1, 2, 3, 4]), poisoned, drawn)
    assert record.index.tolist() == [1, 2, 3, 6]
    assert record.source.tolist() == [1, 2, 3, 2]
    assert record.old.tolist() == [1, 2, 3, 2]
    assert record.new.tolist() == [0, 2, 3, 2]
    assert record.kind.tolist() == [LABEL + PIXELS, PIXELS, LEFT_OUT, PIXELS + COPY]
    record.write(tmp_path)
    assert Record.read(tmp_path).digest == record.digest
    (tmp_path / FILE).write_bytes((tmp_path / FILE).read_bytes()[:50])
    with pytest.raises(UserError, match="cannot be read"):
        Record.read(tmp_path)


def test_starting_anew_removes_the_record(tmp_path):
    assert FILE in jobs.WRITTEN


def test_an_author_writes_one_method(tmp_path):
    class Darken(Poisoning):
        """Every third input is black."""

        def poison(self, clean, pool, classes, seed):
            return clean.repainted(pool[::3], lambda x, index: torch.zeros_like(x)), pool

    trainer, model, data = fit(tmp_path, Darken(clean="none", watched=8), max_epochs=1)
    final_test(trainer, model, data)
    found = by_metric(tmp_path)
    assert found["poisoned"].value == pytest.approx(54 / 160)
    assert found["loss_flipped"].value is None  # no label was changed
    assert found["loss_clean"].n == 8


@pytest.mark.parametrize("freeze", [True, False])
def test_frozen_images_are_augmented_once(tmp_path, freeze):
    seen = Seen()
    fit(tmp_path, flip(freeze=freeze), seen, max_epochs=3)
    flipped = set(Record.read(tmp_path).index.tolist())
    alike = {i: torch.equal(seen.x[0, i], seen.x[1, i]) and torch.equal(seen.x[1, i], seen.x[2, i]) for i in seen.y}
    assert all(alike[i] for i in flipped) == freeze
    assert sum(alike[i] for i in set(alike) - flipped) < 5  # of 112


# What it measures


@pytest.mark.parametrize("freeze", [True, False])
def test_the_loss_of_both_parts_by_a_plain_loop(tmp_path, freeze):
    attack = flip(freeze=freeze)
    _, model, data = fit(tmp_path, attack)
    images, pool = data.trained_on()
    true, given = data.sets()[0].y, images.y
    record = set(Record.read(tmp_path).index.tolist())
    model = robnas.load(tmp_path / "checkpoints" / "last.ckpt").eval()
    loss, right, resisted = {True: [], False: []}, {True: [], False: []}, []
    with torch.no_grad():
        for i in attack._parts.index.tolist():
            assert i in pool.tolist()
            clean = data.sets()[0].__getitems__(torch.tensor([i]))
            logits = model((data.augmented(clean, 0) if freeze and i in record else as_float(clean)).x)
            loss[i in record].append(float(cross_entropy(logits, given[[i]])))
            right[i in record].append(int(logits.argmax()) == given[i])
            resisted += [int(logits.argmax()) == true[i]] if i in record else []
    assert (len(loss[True]), len(loss[False])) == (20, 20)
    last = attack.history[2]
    assert last["loss_flipped"] == pytest.approx(np.mean(loss[True]), rel=1e-4)
    assert last["loss_clean"] == pytest.approx(np.mean(loss[False]), rel=1e-4)
    assert last["accuracy_flipped_given"] == pytest.approx(np.mean(right[True]))
    assert last["accuracy_flipped_true"] == pytest.approx(np.mean(resisted))
    assert last["accuracy_clean"] == pytest.approx(np.mean(right[False]))
    logged = [float(row["poison/loss_flipped"]) for row in read(tmp_path / "metrics.csv") if row.get("poison/loss_flipped")]
    assert logged == pytest.approx([attack.history[e]["loss_flipped"] for e in range(3)], rel=1e-5)


@pytest.mark.parametrize("ema", [0.0, 0.9])
def test_losses_are_of_the_weights_that_are_trained_and_say_so_where_others_are_kept(tmp_path, ema):
    trainer, model, data = fit(tmp_path, flip(), model=Classifier(**SMALL, ema=ema), max_epochs=1)
    final_test(trainer, model, data)
    found = by_metric(tmp_path)
    assert found["loss_flipped"].flags == (["of the weights before they are averaged"] if ema else [])
    assert found["poisoned"].flags == []


def test_watching_changes_no_bit_of_the_training(tmp_path):
    _, watched, _ = fit(tmp_path / "a", flip(watched=50))
    _, alone, _ = fit(tmp_path / "b", flip(watched=0))
    assert same(watched, alone)


def test_a_rate_of_zero_is_the_clean_training(tmp_path):
    _, poisoned, _ = fit(tmp_path / "a", flip(rate=0))
    _, clean, _ = fit(tmp_path / "b")
    _, other, _ = fit(tmp_path / "c", flip(rate=0.1))
    assert same(poisoned, clean)
    assert not same(other, clean)  # the comparison can fail


def test_rows_and_cad_by_hand(tmp_path):
    trainer, model, data = fit(tmp_path / "clean")
    honest = final_test(trainer, model, data)
    before = {path: path.read_bytes() for path in (tmp_path / "clean").rglob("*") if path.is_file()}
    trainer, model, data = fit(tmp_path / "poisoned", flip(rate=0.9, clean=str(tmp_path / "clean")), max_epochs=2)
    tested = final_test(trainer, model, data)
    assert {path: path.read_bytes() for path in before} == before  # the clean run stays as it was
    found = by_metric(tmp_path / "poisoned")
    assert found["cad"].value == pytest.approx(honest.value - tested.value)
    assert found["cad"].value > 0.1
    assert found["cad"].ci[0] <= found["cad"].value <= found["cad"].ci[1]
    assert found["cad"].params["rate"] == 0.9
    assert (found["cad"].kind, found["cad"].access) == ("attack", "training")
    assert (found["poisoned"].value, found["poisoned"].n) == (144 / 160, 160)
    assert (found["loss_flipped"].n, found["loss_clean"].n) == (20, 16)
    assert (tmp_path / "poisoned" / "figures" / "labelflip.svg").stat().st_size > 5000
    outcomes = Rows(tmp_path / "poisoned" / "results.jsonl").read_outcomes(found["cad"])
    assert outcomes["clean_correct"].mean() - outcomes["correct"].mean() == pytest.approx(found["cad"].value)
    n = len(Rows(tmp_path / "poisoned" / "results.jsonl").read())
    final_test(trainer, model, data)
    assert len(Rows(tmp_path / "poisoned" / "results.jsonl").read()) == n  # replaced, not doubled


def test_a_run_of_other_settings_is_said_and_an_attacked_one_refused(tmp_path):
    trainer, model, data = fit(tmp_path / "clean", max_epochs=1)
    final_test(trainer, model, data)
    (tmp_path / "clean" / "config.yaml").write_text("trainer: {max_epochs: 1}\n")
    assert differences(trainer, tmp_path / "clean") == ()
    trainer, model, data = fit(tmp_path / "poisoned", flip(clean=str(tmp_path / "clean")), max_epochs=2)
    final_test(trainer, model, data)
    assert by_metric(tmp_path / "poisoned")["cad"].flags == ["other epochs"]
    with pytest.raises(UserError, match="was itself attacked"):
        fit(tmp_path / "b", flip(clean=str(tmp_path / "poisoned")))
    later = Classifier(**SMALL, learning_rate=0.1, init_from=str(tmp_path / "poisoned"))
    trainer, model, data = fit(tmp_path / "later", model=later, max_epochs=1)
    final_test(trainer, model, data)
    with pytest.raises(UserError, match="was itself attacked"):  # its weights were, before
        fit(tmp_path / "b", flip(clean=str(tmp_path / "later")))
    greys = type("Greys", (Colours,), {"name": "Greys"})(batch_size=32, seed=0)
    with pytest.raises(UserError, match="was tested on Colours, this fit on Greys"):  # said now, not when all is trained
        fit(tmp_path / "b", flip(clean=str(tmp_path / "clean")), data=greys)
    with pytest.raises(UserError, match="clean: 'tarin' is neither 'train'"):
        fit(tmp_path / "b", flip(clean="tarin"))


# Over a kill


@pytest.mark.parametrize("step", [2, 8, 10])
def test_a_killed_run_goes_on_poisoned_once(tmp_path, step):
    options = {"freeze": True}
    _, whole, _ = fit(tmp_path / "whole", flip(**options), save_every_n_steps=2)
    with pytest.raises(Stop):
        fit(tmp_path / "left", flip(**options), StopAt(step), save_every_n_steps=2)
    before = Record.read(tmp_path / "left").digest
    attack = flip(**options)
    ckpt = tmp_path / "left" / "checkpoints" / "last.ckpt"
    trainer, resumed, data = fit(tmp_path / "left", attack, save_every_n_steps=2, ckpt=str(ckpt) if ckpt.is_file() else None)
    assert same(whole, resumed)
    assert rows(tmp_path / "left") == rows(tmp_path / "whole")
    assert Record.read(tmp_path / "left").digest == before
    assert sorted(attack.history) == [0, 1, 2]
    final_test(trainer, resumed, data)
    assert by_metric(tmp_path / "left")["loss_flipped"].value == pytest.approx(attack.history[2]["loss_flipped"])


def test_killed_after_the_final_test_doubles_no_line(tmp_path):
    """As while its clean twin is trained."""
    for _ in range(3):
        ckpt = tmp_path / "checkpoints" / "last.ckpt"
        trainer, model, data = fit(tmp_path, flip(), max_epochs=1, ckpt=str(ckpt) if ckpt.is_file() else None)
        final_test(trainer, model, data)
    found = rows(tmp_path)
    assert len(found) == 2
    assert ["test/accuracy" in row and row["test/accuracy"] != "" for row in found] == [False, True]
    assert len(Rows(tmp_path / "results.jsonl").read()) == len({row.metric for row in Rows(tmp_path / "results.jsonl").read()})


def test_a_run_that_would_be_poisoned_otherwise_does_not_go_on(tmp_path):
    fit(tmp_path / "a", flip(), max_epochs=1)
    last = str(tmp_path / "a" / "checkpoints" / "last.ckpt")
    for other in (flip(rate=0.4), flip(seed=5)):
        with pytest.raises(UserError, match="poisoned in another way"):
            fit(tmp_path / "a", other, max_epochs=2, ckpt=last)
    fit(tmp_path / "a", flip(), max_epochs=2, ckpt=last)
    fit(tmp_path / "b", max_epochs=1)
    with pytest.raises(UserError, match="a training without labelflip"):
        fit(tmp_path / "b", flip(), max_epochs=2, ckpt=str(tmp_path / "b" / "checkpoints" / "last.ckpt"))


def test_neither_a_search_nor_two_poisonings(tmp_path):
    with pytest.raises(UserError, match="not on a search"):
        fit(tmp_path / "a", flip(), model=Search(DARTS(), layers=3, init_channels=4))
    other = type("Other", (LabelFlip,), {})(rate=0.1, clean="none")
    with pytest.raises(UserError, match="one poisoning a training, but there is also other"):
        fit(tmp_path / "b", flip(), other)
