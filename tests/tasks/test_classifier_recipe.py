"""Table 6 in numbers: what one step and one epoch of a training do."""

import math
from types import SimpleNamespace

import pytest
import torch
from lightning.pytorch import Callback
from torch import nn

from robnas.errors import UserError
from robnas.tasks.classifier import Classifier
from small_classifier import classifier, digits, trainer


class Watch(Callback):
    """Reads something at the start of each epoch's first forward pass, and of every other."""

    def __init__(self, read):
        self.read, self.seen = read, []

    def on_train_batch_end(self, trainer, task, outputs, batch, batch_idx):
        if batch_idx == 0:
            self.seen.append(self.read(trainer, task))


def test_the_learning_rate_falls_by_a_cosine_from_epoch_to_epoch(tmp_path):
    watch = Watch(lambda t, task: t.optimizers[0].param_groups[0]["lr"])
    trainer(tmp_path, max_epochs=4, callbacks=[watch]).fit(classifier(), digits())
    half = math.sqrt(0.5)
    assert watch.seen == pytest.approx([0.025, 0.0125 * (1 + half), 0.0125, 0.0125 * (1 - half)], rel=1e-12)


def test_drop_path_grows_linearly_and_is_zero_at_first(tmp_path):
    watch = Watch(lambda t, task: task.network.drop_path)
    trainer(tmp_path, max_epochs=4, callbacks=[watch]).fit(classifier(options={"drop_path": 0.2}), digits())
    assert watch.seen == pytest.approx([0, 0.05, 0.1, 0.15])


def test_without_drop_path_nothing_is_left_out(tmp_path):
    watch = Watch(lambda t, task: task.network.drop_path)
    trainer(tmp_path, callbacks=[watch]).fit(classifier(), digits())
    assert watch.seen == [0]


class Gradients(Callback):
    """Scales every gradient to a norm, as it is before clipping, and keeps it and the weights that it is about to change."""

    def __init__(self, norm):
        self.norm, self.weights, self.gradients = norm, [], []

    def on_before_optimizer_step(self, trainer, task, optimizer):
        gradient = torch.cat([p.grad.flatten() for p in task.parameters()])
        for p in task.parameters():
            p.grad *= self.norm / gradient.norm()
        self.weights.append(flat(task))
        self.gradients.append(self.norm / gradient.norm() * gradient)


def flat(task):
    return torch.cat([p.detach().flatten() for p in task.parameters()])


@pytest.mark.parametrize(
    ("norm", "arguments", "of_trainer", "clipped"),
    [
        (50, {}, {}, 5),  # Table 6
        (4, {}, {}, 4),
        (50, {"gradient_clip": 0}, {}, 50),
        (50, {"gradient_clip": 0.5}, {}, 0.5),
        (50, {}, {"gradient_clip_val": 2}, 2),
        (50, {}, {"gradient_clip_val": 0}, 50),
    ],
)
def test_a_step_clips_then_decays_then_moves(tmp_path, norm, arguments, of_trainer, clipped):
    """w ← w − 0.025 · m, m ← 0.9 · m + clip(g) + 5·10⁻⁴ · w, in float64."""
    seen, task = Gradients(norm), classifier(**arguments)
    trainer(tmp_path, callbacks=[seen], precision="64-true", **of_trainer).fit(task, digits())
    (w0, w1), (g0, g1) = seen.weights, [g * clipped / norm for g in seen.gradients]
    m1 = g0 + 5e-4 * w0
    torch.testing.assert_close(w1, w0 - 0.025 * m1, rtol=0, atol=1e-6 * clipped)  # torch divides by norm + 10⁻⁶
    m2 = 0.9 * m1 + g1 + 5e-4 * w1
    torch.testing.assert_close(flat(task), w1 - 0.025 * m2, rtol=0, atol=1e-6 * clipped)
    assert (0.025 * 5e-4 * w0).abs().max() > 1e-5  # the decay could be seen


class Fixed(nn.Module):
    """Gives these logits, and these of an auxiliary head."""

    def __init__(self, logits, auxiliary=None):
        super().__init__()
        self.logits, self.network = torch.tensor(logits), nn.Module()
        self.network.auxiliary_logits = None if auxiliary is None else torch.tensor(auxiliary)

    def forward(self, x):
        return self.logits


def loss_of(model, y, **arguments):
    task = classifier(**arguments)
    task._build({"num_classes": 3, "image_shape": [3, 16, 16], "class_names": ["a", "b", "c"], "mean": [0.5] * 3, "std": [0.5] * 3})
    task.model, task.trainer = model, SimpleNamespace(is_last_batch=False, max_steps=-1)
    total = float(task.training_step((torch.zeros(len(y), 3, 16, 16), torch.tensor(y), torch.arange(len(y))), 0))
    return total, float(task.train_loss.compute())


def test_the_loss_is_the_mean_cross_entropy():
    log_p, log_q = 2 - math.log(math.e**2 + 2), -math.log(math.e**2 + 2)
    total, logged = loss_of(Fixed([[2.0, 0, 0], [2.0, 0, 0]]), [0, 1])
    assert total == logged == pytest.approx(-(log_p + log_q) / 2, rel=1e-6)


def test_label_smoothing_spreads_its_share_over_all_classes():
    log_p, log_q = 2 - math.log(math.e**2 + 2), -math.log(math.e**2 + 2)
    total, _ = loss_of(Fixed([[2.0, 0, 0]]), [0], label_smoothing=0.3)
    assert total == pytest.approx(-(0.8 * log_p + 0.1 * log_q + 0.1 * log_q), rel=1e-6)


@pytest.mark.parametrize(("arguments", "weight"), [({}, 0.4), ({"auxiliary_weight": 0.25}, 0.25)])
def test_the_auxiliary_loss_is_added_with_its_weight_and_is_not_in_what_is_logged(arguments, weight):
    total, logged = loss_of(Fixed([[0.0, 0, 0]], [[2.0, 0, 0]]), [1], **arguments)
    assert logged == pytest.approx(math.log(3), rel=1e-6)
    assert total == pytest.approx(math.log(3) + weight * math.log(math.e**2 + 2), rel=1e-6)


def test_an_auxiliary_head_is_trained(tmp_path):
    start, task = initial(tmp_path, options={"auxiliary": True}), classifier(options={"auxiliary": True}, weight_decay=0.0)
    trainer(tmp_path).fit(task, digits())
    for before, now in zip(start.network.auxiliary.parameters(), task.network.auxiliary.parameters(), strict=True):
        assert not torch.equal(before, now)


# Initial weights


def initial(folder, **arguments):
    task = classifier(**arguments)
    trainer(folder, limit_train_batches=0, limit_val_batches=1).validate(task, digits(), verbose=False)
    return task


@pytest.fixture
def seed(monkeypatch):
    return lambda number: monkeypatch.setenv("PL_GLOBAL_SEED", str(number))


def test_initial_weights_follow_the_seed_and_nothing_else(tmp_path, seed):
    seed(1)
    torch.manual_seed(3)
    before = torch.random.get_rng_state()
    first = initial(tmp_path)
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.rand(7)
    assert torch.equal(flat(first), flat(initial(tmp_path)))
    seed(2)
    assert not torch.equal(flat(first), flat(initial(tmp_path)))


def test_convolutions_are_channels_last(tmp_path):
    weights = [p for p in initial(tmp_path).parameters() if p.ndim == 4]
    assert weights
    assert all(w.is_contiguous(memory_format=torch.channels_last) for w in weights)


# Wrong values


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("network", "dartz"),
        ("size", "huge"),
        ("learning_rate", 0),
        ("momentum", 1.0),
        ("weight_decay", -1e-4),
        ("gradient_clip", -5),
        ("auxiliary_weight", -0.4),
        ("label_smoothing", 1.0),
    ],
)
def test_wrong_values_are_said_in_one_line(name, value):
    with pytest.raises(UserError, match=name) as error:
        Classifier(**{name: value})
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        *[("layerz", 3), ("genotype", {}), ("num_classes", 3), ("layers", 0), ("layers", "three"), ("layers", 2.5), ("init_channels", 0)],
        *[("init_channels", True), ("drop_path", 1), ("drop_path", -0.1), ("dropout", "0.1"), ("auxiliary", 1)],
    ],
)
def test_wrong_options_are_said_before_any_data_are_read(option, value):
    with pytest.raises(UserError, match=option) as error:
        Classifier(options={option: value})
    assert "\n" not in str(error.value)


def test_a_training_without_an_end_has_no_cosine(tmp_path):
    with pytest.raises(UserError, match=r"trainer\.max_epochs: -1 is not positive"):
        trainer(tmp_path, max_epochs=-1, max_steps=3).fit(classifier(), digits())


def test_a_loss_that_is_no_number_stops_the_training_in_one_line(tmp_path):
    with pytest.raises(UserError, match=r"the loss is not finite at step [12] \(epoch 0\)") as error:
        trainer(tmp_path, limit_train_batches=4).fit(classifier(learning_rate=1e30, gradient_clip=0), digits())
    assert "\n" not in str(error.value)
