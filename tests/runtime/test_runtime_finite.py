"""A training that diverged in its last step is not a finished one."""

import pytest
from lightning.pytorch import Callback

from robnas.errors import UserError
from robnas.runtime.checkpoint_io import read
from robnas.runtime.checkpoints import Checkpoints
from small_classifier import classifier, digits, trainer


class Spoil(Callback):
    """The weights are no numbers from a step on, though its loss was one."""

    def __init__(self, step, value=float("nan")):
        self.step, self.value = step, value

    def on_train_batch_end(self, trainer, task, *_):
        if trainer.global_step == self.step:
            next(p for p in task.parameters() if p.requires_grad).data[0] = self.value


def diverged(folder, says, **arguments):
    with pytest.raises(UserError, match=says) as error:
        trainer(folder, enable_checkpointing=True, **arguments).fit(classifier(), digits())
    assert "\n" not in str(error.value)
    assert "the last good checkpoint is kept" in str(error.value)


def test_a_validation_loss_that_is_no_number_stops_the_run_and_keeps_the_checkpoint_before(tmp_path):
    diverged(tmp_path, r"^valid/loss is not finite after step 3 \(epoch 1\): stopped", max_epochs=2, callbacks=[Spoil(4)])
    for name in ("last", "best"):
        kept = read(tmp_path / "checkpoints" / f"{name}.ckpt")
        assert kept["global_step"] == 2
        assert all(v.isfinite().all() for v in kept["state_dict"].values())


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_without_validation_the_weights_are_looked_at(tmp_path, value):
    spoil = Spoil(4, value)
    diverged(tmp_path, r"^the weights are not finite after step 3 \(epoch 1\)", max_epochs=2, limit_val_batches=0, callbacks=[spoil])
    assert read(tmp_path / "checkpoints" / "last.ckpt")["global_step"] == 2


def test_a_checkpoint_in_mid_epoch_is_not_saved_of_such_weights(tmp_path):
    arguments = {"limit_train_batches": 4, "callbacks": [Spoil(2), Checkpoints(save_every_n_steps=1)]}
    diverged(tmp_path, r"^the weights are not finite after step 1 \(epoch 0\)", **arguments)
    assert read(tmp_path / "checkpoints" / "last.ckpt")["global_step"] == 1


def test_without_checkpoints_it_is_said_too(tmp_path):
    with pytest.raises(UserError, match="the weights are not finite after step 1"):
        trainer(tmp_path, limit_val_batches=0, callbacks=[Spoil(2)]).fit(classifier(), digits())


def test_the_looking_is_agreed_on(tmp_path, monkeypatch):
    """Another rank's weights are broken, this one's are not."""
    monkeypatch.setattr("robnas.runtime.finite.collectives.gather", lambda value: [value, False if value is True else value])
    with pytest.raises(UserError, match="the weights are not finite"):
        trainer(tmp_path, limit_val_batches=0).fit(classifier(), digits())


def test_sanity_checking_and_other_verbs_are_left_alone(tmp_path):
    task = classifier()
    trainer(tmp_path).fit(task, digits())
    next(task.parameters()).data.fill_(float("nan"))
    (found,) = trainer(tmp_path).validate(task, digits(), verbose=False)
    assert found["valid/loss"] != found["valid/loss"]
