"""How fast a training converges: curves by hand, a training that is noted, killed and gone on with, and one that is over."""

import math

import numpy as np
import pytest
import torch
from lightning.pytorch import LightningModule

from command_line import CLASSIFY, robnas
from robnas.data.digits import Digits
from robnas.errors import UserError
from robnas.probes.convergence import Convergence, epoch_means, logged, trailing
from robnas.results import Rows
from small_classifier import classifier, trainer


def test_curves_by_hand():
    found = Convergence(losses=(1.0, 0.1), accuracies=(0.5, 0.99), window=2, early=2).of_curves(
        [2.0, 1.0, 0.5], [0.3, 0.6, 0.8], 7, np.array([3.0, 1.0, 1.2, 0.8, 0.4, 0.6])
    )
    assert found.values == {
        "final_loss": 0.5,
        "loss_area": 3.5,
        "early_loss_area": 3.0,
        "steps_to_loss_1": 4.0,  # (1.2 + 0.8) / 2
        "epochs_to_loss_1": 2.0,
        "steps_to_loss_0.1": None,
        "epochs_to_loss_0.1": None,
        "epochs_to_accuracy_0.5": 2.0,
        "epochs_to_accuracy_0.99": None,
    }
    assert found.numbers["steps_to_loss_0.1"].flags == ("not in 6 steps",)
    assert found.numbers["loss_area"].n == 7
    assert found.arrays["step_loss"].tolist() == [3.0, 1.0, 1.2, 0.8, 0.4, 0.6]
    assert list(found.pictures) == ["curve"]


def test_a_training_shorter_than_early_says_so():
    assert Convergence(early=5).of_curves([1.0], [], 3).numbers["early_loss_area"].flags == ("only 1 epochs",)


def test_means_by_hand():
    assert trailing([3.0, 1.0, 2.0], 2) == [math.inf, 2.0, 1.5]
    assert epoch_means([3.0, 1.0, 2.0], [2, 3]) == [2.0, 2.0]


def test_in_fit_it_knows_every_step_and_changes_nothing(tmp_path):
    seen = []

    class Noted(Convergence):
        def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
            super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)
            seen.append(float(outputs["loss"]))

    task, plain = classifier(), classifier()
    trainer(tmp_path, callbacks=[Noted(window=1, losses=(9.0,))], max_epochs=2).fit(task, datamodule=Digits(batch_size=32))
    trainer(tmp_path / "plain", max_epochs=2).fit(plain, datamodule=Digits(batch_size=32))
    assert all(torch.equal(a, b) for a, b in zip(task.parameters(), plain.parameters(), strict=True))
    store = Rows(tmp_path / "results.jsonl")
    rows = {row.metric: row for row in store.read()}
    assert len(seen) == 4
    assert rows["steps_to_loss_9"].value == 1
    assert rows["loss_area"].value == pytest.approx(sum(seen) / 2)
    assert rows["final_loss"].value == pytest.approx((seen[2] + seen[3]) / 2)
    assert store.read_outcomes(rows["loss_area"])["step_loss"] == pytest.approx(np.array(seen))
    assert (tmp_path / "figures" / "noted-curve-fit_end.svg").stat().st_size > 0


def test_gathered_gradients_do_not_make_losses_smaller(tmp_path):
    """Lightning hands over a loss divided by the number of mini-batches that make a gradient."""
    one, two = Convergence(), Convergence()
    for probe, gathered in ((one, 1), (two, 2)):
        t = trainer(tmp_path / str(gathered), callbacks=[probe], accumulate_grad_batches=gathered, limit_train_batches=1)
        t.fit(classifier(), datamodule=Digits(batch_size=32))
    assert [row.value for row in one.rows] == pytest.approx([row.value for row in two.rows])


def test_a_run_that_goes_on_knows_its_beginning(tmp_path):
    few = {"max_epochs": 2, "enable_checkpointing": True}
    whole, half, rest = Convergence(), Convergence(), Convergence()
    trainer(tmp_path / "whole", callbacks=[whole], **few).fit(classifier(), datamodule=Digits(batch_size=32))
    first = trainer(tmp_path / "half", callbacks=[half], **few | {"max_epochs": 1})
    first.fit(classifier(), datamodule=Digits(batch_size=32))
    state = half.state_dict()
    assert half.state_key == rest.state_key
    rest.load_state_dict(state)
    assert torch.equal(rest.state_dict()["steps"], state["steps"])
    assert rest.state_dict()["ends"] == [2]
    assert whole.state_dict()["ends"] == [2, 4]
    path = tmp_path / "half.ckpt"
    first.save_checkpoint(path)
    assert torch.equal(torch.load(path, weights_only=True)["callbacks"][half.state_key]["steps"], state["steps"])


def test_a_training_that_is_over_is_read_from_its_metrics(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert robnas(f"fit {CLASSIFY} --config convergence", capsys).status == 0
    folder = (tmp_path / "runs" / "classify" / "latest").resolve()
    in_fit = {row.metric: row for row in Rows(folder / "results.jsonl").read() if row.plugin == "convergence"}
    said = robnas("probe runs/classify/latest --probes.later=convergence --wandb=off --trainer.accelerator=cpu", capsys)
    assert said.status == 0, said.err
    assert "epochs to loss 1.5" in said.out
    rows = {r.metric: r for r in Rows(folder / "results.jsonl").read() if r.plugin == "convergence" and r.params["at"] == "test"}
    assert rows.keys() == {metric for metric in in_fit if not metric.startswith("steps")}
    assert rows["loss_area"].value == pytest.approx(in_fit["loss_area"].value, rel=1e-4)
    assert rows["loss_area"].n == in_fit["loss_area"].n > 1000


def test_metrics_that_are_logged_by_step_and_by_epoch(tmp_path):
    path = tmp_path / "metrics.csv"
    path.write_text("step,epoch,train/loss_step,train/loss_epoch,train/accuracy\n3,0,9,,\n6,0,,2.5,0.25\n9,1,8,,\n12,1,,1.5,0.5\n")
    assert logged(path) == ([2.5, 1.5], [0.25, 0.5])
    assert logged(tmp_path / "none.csv") == ([], [])


def test_what_it_cannot_know_is_said():
    with pytest.raises(UserError, match="returns no loss"):
        Convergence().on_train_batch_end(None, LightningModule(), None, [torch.zeros(1)], 0)
    with pytest.raises(UserError, match="looks at a training"):
        Convergence().measure(None, None, None)
    with pytest.raises(UserError, match="accuracies"):
        Convergence(accuracies=(90.0,)).check()
    with pytest.raises(UserError, match="window: 0"):
        Convergence(window=0).check()
