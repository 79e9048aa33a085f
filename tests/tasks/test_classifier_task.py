"""The classifier under a Trainer: verbs, checkpoints, and a kill in mid-epoch."""

import pytest
import torch
import yaml
from lightning.pytorch import Callback, LightningDataModule
from torch.utils.data import DataLoader, TensorDataset

from robnas.data.digits import Digits
from robnas.errors import UserError
from robnas.runtime.checkpoint_io import read
from robnas.runtime.checkpoints import Checkpoints
from robnas.space import published
from robnas.tasks.classifier import Classifier
from small_classifier import classifier, digits, fitted, trainer


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """One short training that many tests look at, and change nothing of."""
    folder = tmp_path_factory.mktemp("run")
    return folder, *fitted(folder)


def state(task):
    return {name: tensor.clone() for name, tensor in task.state_dict().items()}


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


# Verbs


def test_fit_logs_both_losses_and_accuracies(run):
    assert {"train/loss", "train/accuracy", "valid/loss", "valid/accuracy"} <= set(run[1].callback_metrics)


def test_validate_test_and_predict(run, tmp_path):
    _, _, task = run
    t, data = trainer(tmp_path), digits(batch_size=100)  # 360 = 3 · 100 + 60: a mean of means would be another number
    (valid,) = t.validate(task, data, verbose=False)
    (test,) = t.test(task, data, verbose=False)
    predicted = torch.cat(t.predict(task, data))
    y = data.sets()[1].y
    assert predicted.shape == (360, 10)
    torch.testing.assert_close(predicted.sum(1), torch.ones(360))
    assert test["test/accuracy"] == pytest.approx(float((predicted.argmax(1) == y).double().mean()), rel=1e-6)
    assert test["test/loss"] == pytest.approx(float(-predicted.double()[range(360), y].log().mean()), rel=1e-5)
    held = data.parts()[1]
    with torch.no_grad():
        right = task.eval()(data.sets()[0].x[held].float() / 255).argmax(1) == data.sets()[0].y[held]
    assert valid["valid/accuracy"] == pytest.approx(float(right.double().mean()), rel=1e-6)


def test_the_best_on_validation_is_kept(tmp_path):
    """The first epoch always says the commonest class of the validation data, the second the rarest: the best is not the last."""
    data, history = digits(), []
    counts = data.sets()[0].y[data.parts()[1]].bincount()

    class Say(Callback):
        def on_train_epoch_start(self, trainer, task):
            task.network.classifier.weight.data.zero_()
            task.network.classifier.bias.data.zero_()[(counts.argmax(), counts.argmin())[trainer.current_epoch]] = 1.0
            trainer.optimizers[0].param_groups[0]["lr"] = 0.0

        def on_validation_epoch_end(self, trainer, task):
            history.append(float(trainer.callback_metrics["valid/accuracy"]))

    fitted(tmp_path, max_epochs=2, callbacks=[Say()])
    assert history == pytest.approx([float(n / counts.sum()) for n in (counts.max(), counts.min())])
    assert history[0] > history[1]
    best, last = (read(tmp_path / "checkpoints" / f"{name}.ckpt") for name in ("best", "last"))
    assert (best["epoch"], last["epoch"]) == (0, 1)
    assert best["callbacks"]["Checkpoints"]["best"] == history[0]
    assert Checkpoints().monitor == "valid/accuracy"
    t, path = trainer(tmp_path, enable_checkpointing=True), str(tmp_path / "checkpoints" / "best.ckpt")
    (again,) = t.validate(classifier(), digits(), ckpt_path=path, verbose=False)
    assert again["valid/accuracy"] == history[0]


# A kill


class KilledError(Exception):
    pass


class SaveAndKill(Callback):
    def __init__(self, step, path):
        self.step, self.path = step, path

    def on_train_batch_end(self, trainer, *_):
        if trainer.global_step == self.step:
            trainer.save_checkpoint(self.path)
            raise KilledError


NOISY = {"drop_path": 0.3, "dropout": 0.1, "auxiliary": True}


def three_epochs(folder, **arguments):
    return trainer(folder, max_epochs=3, limit_train_batches=4, limit_val_batches=1, **arguments)


def killed_and_gone_on_with(folder, step):
    with pytest.raises(KilledError):
        three_epochs(folder, callbacks=[SaveAndKill(step, folder / "a.ckpt")]).fit(classifier(options=NOISY), digits())
    resumed, t = classifier(options=NOISY), three_epochs(folder)
    t.fit(resumed, digits(), ckpt_path=str(folder / "a.ckpt"))
    assert t.global_step == 12
    return state(resumed)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    task = classifier(options=NOISY)
    three_epochs(tmp_path_factory.mktemp("whole")).fit(task, digits())
    return state(task)


@pytest.mark.parametrize("step", [6, 8])  # in mid-epoch, and right after the last batch of an epoch
def test_a_killed_training_goes_on_bit_for_bit(tmp_path, whole, step):
    assert same(killed_and_gone_on_with(tmp_path, step), whole)


def test_other_noise_would_be_seen(tmp_path, whole, monkeypatch):
    """The comparison can fail."""
    monkeypatch.setattr("robnas.tasks.classifier.linear", lambda epoch, epochs, final: final)
    assert not same(killed_and_gone_on_with(tmp_path, 6), whole)


# Checkpoints


def test_the_checkpoint_alone_makes_the_task_again(run):
    folder, _, task = run
    path = folder / "checkpoints" / "last.ckpt"
    again = Classifier.load_from_checkpoint(path, weights_only=True)
    assert again.architecture == task.architecture
    x = torch.rand(4, 3, 16, 16)
    assert torch.equal(again.eval()(x), task.eval()(x))
    plain = torch.load(path, weights_only=True)["hyper_parameters"]
    assert yaml.safe_load(yaml.safe_dump(plain)) == plain


def test_the_recipe_comes_back_too_and_the_task_can_be_trained_further(tmp_path):
    task = classifier(learning_rate=0.01, momentum=0.8, weight_decay=0.0, gradient_clip=1.0, auxiliary_weight=0.1, label_smoothing=0.2)
    t = trainer(tmp_path)
    t.fit(task, digits())
    t.save_checkpoint(tmp_path / "a.ckpt")
    again = Classifier.load_from_checkpoint(tmp_path / "a.ckpt", weights_only=True, momentum=0.7)
    recipe = (again.learning_rate, again.momentum, again.weight_decay, again.gradient_clip, again.auxiliary_weight, again.label_smoothing)
    assert recipe == (0.01, 0.7, 0.0, 1.0, 0.1, 0.2)
    before = state(again)
    trainer(tmp_path).fit(again, digits())
    assert not same(state(again), before)


class NineClasses(Digits):
    num_classes, class_names = 9, tuple("123456789")


class OtherClasses(Digits):
    class_names = tuple("abcdefghij")


class Larger(Digits):
    image_shape = (3, 32, 32)


@pytest.mark.parametrize(
    ("other", "data", "says"),
    [
        ({}, NineClasses, "its num_classes is 10, but here it is 9"),
        ({}, OtherClasses, "its class_names is "),
        ({}, Larger, r"its image_shape is \[3, 16, 16\], but here it is \[3, 32, 32\]"),
        ({"network": "enas"}, Digits, "its network is "),
        ({"options": {"layers": 4}}, Digits, "its options is "),
        ({"options": {"auxiliary": True}}, Digits, "its options is "),
        ({"size": "tiny"}, Digits, "its size is paper, but here it is tiny"),
    ],
)
def test_a_checkpoint_of_another_architecture_is_refused_in_one_line(run, tmp_path, other, data, says):
    path = str(run[0] / "checkpoints" / "last.ckpt")
    with pytest.raises(UserError, match=f"another architecture: {says}") as error:
        trainer(tmp_path).test(classifier(**other), data(seed=0), ckpt_path=path)
    assert "\n" not in str(error.value)


def test_a_cell_is_its_genotype_whatever_its_file_is_called(run, tmp_path):
    (tmp_path / "mine.yaml").write_text(published.find("darts").to_yaml())
    t, task = trainer(tmp_path, enable_checkpointing=True), classifier(network=str(tmp_path / "mine.yaml"))
    t.validate(task, digits(), ckpt_path=str(run[0] / "checkpoints" / "last.ckpt"), verbose=False)
    assert task.description["name"] == "mine"
    assert same(state(task), state(run[2]))


@pytest.mark.parametrize("content", [{"hyper_parameters": {"searcher": {}}}, {}])
def test_a_checkpoint_of_something_else_is_refused(run, tmp_path, content):
    kept = read(run[0] / "checkpoints" / "last.ckpt")
    del kept["hyper_parameters"]
    torch.save(kept | content, tmp_path / "other.ckpt")
    with pytest.raises(UserError, match="not one of a classifier"):
        trainer(tmp_path).test(classifier(), digits(), ckpt_path=str(tmp_path / "other.ckpt"))


def test_a_checkpoint_that_is_cut_or_missing_is_refused_by_name(run, tmp_path):
    kept = (run[0] / "checkpoints" / "last.ckpt").read_bytes()
    (tmp_path / "cut.ckpt").write_bytes(kept[: len(kept) // 2])
    for name in ("cut.ckpt", "missing.ckpt"):
        with pytest.raises(UserError, match=name):
            trainer(tmp_path).test(classifier(), digits(), ckpt_path=str(tmp_path / name))


# Data of the user's own


class Own(LightningDataModule):
    """Batches are (x, y), as of any torch data set."""

    num_classes, image_shape, class_names = 2, (1, 16, 16), ("dark", "light")
    mean, std = (0.5,), (0.25,)

    def train_dataloader(self):
        x = torch.rand(8, 1, 16, 16, generator=torch.Generator().manual_seed(0))
        return DataLoader(TensorDataset(x, (x.mean((1, 2, 3)) > 0.5).long()), batch_size=4)

    val_dataloader = test_dataloader = train_dataloader


class Silent(Own):
    def __getattribute__(self, name):
        if name in ("mean", "std"):
            raise AttributeError(name)
        return super().__getattribute__(name)


def test_data_of_the_users_own(tmp_path):
    t, task = trainer(tmp_path), classifier()
    t.fit(task, Own())
    assert 0 <= t.test(task, Own(), verbose=False)[0]["test/accuracy"] <= 1
    assert task(torch.rand(3, 1, 16, 16)).shape == (3, 2)


def test_data_that_do_not_say_what_they_are(tmp_path):
    with pytest.raises(UserError, match="says its mean, std, but here it is Silent"):
        trainer(tmp_path).fit(classifier(), Silent())
    with pytest.raises(UserError, match=r"data module is needed .* it is NoneType"):
        trainer(tmp_path).fit(classifier(), Own().train_dataloader(), Own().train_dataloader())
