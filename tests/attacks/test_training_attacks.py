"""What every attack on training shares: it acts once, says so in checkpoint and rows, and is compared with its clean twin."""

import numpy as np
import pytest
import torch

import robnas
from robnas.attacks.defences.fine_pruning import FinePruning
from robnas.attacks.defences.loss_filter import LossFilter
from robnas.attacks.training import FinalTest, TrainingAttack, said
from robnas.data import Digits
from robnas.data.altered import Altered
from robnas.errors import UserError
from robnas.results import Row, Rows
from robnas.runtime.final_test import final_test
from robnas.runtime.trainer import Trainer
from robnas.search import DARTS
from robnas.tasks import Classifier, Search

QUIET = {"enable_progress_bar": False, "logger": False, "accelerator": "cpu", "devices": 1}
SMALL = {"network": "resnet", "size": "tiny", "options": {"depth": 10, "width": 4}}


class Shift(TrainingAttack):
    """Every label is the next one."""

    def __init__(self, by: int = 1) -> None:
        super().__init__()
        self.by, self.begun = by, 0

    def begin(self, trainer, model, data):
        images, pool = data.trained_on()
        data.train_on(Altered.of(images).relabelled(pool, (images.y[pool] + self.by) % 10), pool)
        self.begun += 1

    def measure(self, trainer, model, tested):
        honest = FinalTest(tested.index, tested.label, tested.label)
        return {"cad": tested.drop_from(honest)}, {"index": tested.index}


def fit(folder, *attacks, model=None, data=None, **trainer):
    data = data or Digits(batch_size=96, seed=0)
    trainer = Trainer(default_root_dir=folder, max_epochs=1, callbacks=list(attacks), **QUIET, **trainer)
    model = model or Classifier(**SMALL)
    trainer.fit(model, datamodule=data)
    return trainer, model, data


def test_rows_checkpoint_and_outcomes_say_what_was_done(tmp_path):
    attack = Shift()
    trainer, model, data = fit(tmp_path, attack)
    row = final_test(trainer, model, data)
    assert attack.begun == 1
    last = tmp_path / "checkpoints" / "last.ckpt"
    told = {"shift": {"class": "shift", "by": 1}}
    assert torch.load(last, weights_only=True)["hyper_parameters"]["attacked"] == told
    assert robnas.load(last).attacked == Classifier.load_from_checkpoint(last).attacked == told
    store = Rows(tmp_path / "results.jsonl")
    (cad,) = (r for r in store.read() if r.metric == "cad")
    assert cad.access == "training"
    assert cad.model == row.model == "Classifier + shift"
    assert cad.value == pytest.approx(1 - row.value)
    assert cad.ci[0] <= cad.value <= cad.ci[1]
    assert store.read_outcomes(cad)["index"].tolist() == list(range(360))


def test_a_final_test_is_kept_input_by_input(tmp_path):
    trainer, model, data = fit(tmp_path)
    row = final_test(trainer, model, data)
    tested = FinalTest.of_run(tmp_path)
    assert tested.correct.mean() == pytest.approx(row.value)
    with torch.no_grad():
        batch = next(iter(Digits(batch_size=50).test_dataloader()))
        assert tested.prediction[:50].tolist() == model.eval()(batch.x).argmax(1).tolist()
    assert tested.label[:50].tolist() == batch.y.tolist()


def test_clean_accuracy_drop_by_hand():
    index, label = np.arange(4), np.zeros(4, dtype=np.int64)
    clean, now = FinalTest(index, np.array([0, 0, 0, 1]), label), FinalTest(index, np.array([0, 1, 1, 0]), label)
    drop = now.drop_from(clean)
    assert drop.value == pytest.approx(0.25)
    assert drop.n == 4
    with pytest.raises(UserError, match="4 inputs"):
        FinalTest(index[:3], label[:3], label[:3]).drop_from(clean)


def test_a_fit_after_it_with_the_same_data_is_clean(tmp_path):
    _, _, data = fit(tmp_path / "a", Shift())
    assert not torch.equal(data.trained_on()[0].y, data.sets()[0].y)
    fit(tmp_path / "b", data=data)
    assert data.trained_on()[0] is data.sets()[0]


def test_neither_a_search_nor_an_evaluation_nor_a_call_is_attacked(tmp_path):
    model = Search(DARTS(), layers=3, init_channels=4)
    with pytest.raises(UserError, match="not on a search"):
        fit(tmp_path / "a", Shift(), model=model)
    _, model, data = fit(tmp_path / "b")
    with pytest.raises(UserError, match="robnas fit"):
        Trainer(default_root_dir=tmp_path / "c", callbacks=[Shift()], **QUIET).attack(model, datamodule=data)
    with pytest.raises(UserError, match="robnas fit"):
        Shift()(model, torch.rand(1, 3, 8, 8))


def test_training_starts_from_the_weights_of_another_run(tmp_path):
    _, first, _ = fit(tmp_path / "a")
    source = str(tmp_path / "a" / "checkpoints" / "last.ckpt")
    model = Classifier(**SMALL, init_from=source, learning_rate=1e-12, weight_decay=0.0)
    _, second, _ = fit(tmp_path / "b", model=model)
    names = [n for n, _ in first.model.named_parameters()]
    theirs, mine = first.model.state_dict(), second.model.state_dict()
    for name in names:
        torch.testing.assert_close(mine[name], theirs[name], rtol=0, atol=1e-6)
    other = Classifier(network="resnet", size="tiny", options={"depth": 10, "width": 8}, init_from=source)
    with pytest.raises(UserError, match=r"init_from: .* another architecture: its options"):
        fit(tmp_path / "c", model=other)


def test_a_number_in_a_line():
    row = Row(metric="cad", value=0.278, n=360, ci=(0.225, 0.331), ci_method="paired bootstrap")
    assert said("flip", row) == "flip: cad 27.8% (95% interval over inputs 22.5 to 33.1, n = 360)"
    assert said("steal", Row(metric="ace", value=1.5, n=360, ci=(1.2, 1.8), ci_method="bootstrap")).startswith("steal: ace 1.5 (95%")
    assert said("x", Row(metric="cad", value=None, n=0)) == "x: cad none, n = 0"


def test_two_blocks_of_one_class_keep_apart_in_a_checkpoint():
    keys = set()
    for cls in (LossFilter, FinePruning):
        for name in ("first", "second"):
            defence = cls()
            defence.name = name
            keys.add(defence.state_key)
    assert len(keys) == 4
