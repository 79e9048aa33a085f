"""Adversarial training as a task: what it minimises, measures, keeps, and refuses."""

import math
from itertools import pairwise

import pytest
import torch
import yaml
from lightning.pytorch import Callback, LightningDataModule
from lightning.pytorch.callbacks import EarlyStopping
from torch import nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, TensorDataset

import robnas
from robnas import collectives, seeds
from robnas.attacks import APGD, PGD, Evasion
from robnas.attacks.goal import Goal
from robnas.checkpoint_file import read
from robnas.errors import UserError
from robnas.models.normalize import Normalized
from robnas.runtime.final_test import final_test
from robnas.tasks import compilation
from robnas.tasks.adversarial import ATTACKS, AdversarialClassifier
from robnas.tasks.classifier import Classifier
from robnas.tasks.free import Perturbation
from robnas.tasks.inner import maximise
from robnas.tasks.trades import Disagreement
from small_classifier import classifier, digits, trainer

EPS = 8 / 255
DATA = {"num_classes": 10, "image_shape": [3, 16, 16], "class_names": list("0123456789"), "mean": [0.5] * 3, "std": [0.25] * 3}


def quick(method="pgd", **arguments):
    """Two steps where the method has several, and no measurement on validation."""
    given = {"attack": PGD(eps=EPS, step_size=EPS / 2, steps=2, n_restarts=1)} if method in ("pgd", "trades") else {}
    return classifier(AdversarialClassifier, method=method, **{"valid_every": 0, "replays": 2} | given | arguments)


def state(task):
    return {name: tensor.clone() for name, tensor in task.state_dict().items()}


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def batch(n=16):
    x = torch.rand(n, 3, 16, 16, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return x, torch.arange(n) % 10, torch.arange(n) + 50


def built(**arguments):
    task = quick(**arguments)
    task._build(DATA)
    return task.double().train()


# What is minimised


def moved(task, b, goal):
    x, _, index = b
    return maximise(task.attack, task.model, x, goal, index, seeds.derive(0, "adversarial", 0))


@pytest.mark.parametrize("method", ["pgd", "fast"])
def test_the_loss_is_that_of_the_attacked_images_with_smoothing_and_auxiliary_head(method):
    task = built(method=method, label_smoothing=0.1, options={"auxiliary": True})
    b = batch()
    x_adv = moved(task, b, Goal(b[1]))
    total, loss, logits = task.objective(b)
    expected = task(x_adv)
    first, second = (cross_entropy(z, b[1], label_smoothing=0.1).item() for z in (expected, task.network.auxiliary_logits))
    assert torch.equal(logits, expected)
    assert (loss.item(), total.item()) == pytest.approx((first, first + 0.4 * second), abs=1e-12)


def test_trades_is_the_clean_loss_and_beta_times_the_divergence():
    task = built(method="trades", beta=3.0, label_smoothing=0.1, options={"auxiliary": True})
    b = batch()
    task.model.eval()
    clean = task(b[0]).detach()
    x_adv = moved(task, b, Disagreement(b[1], clean=clean))
    task.model.train()
    total, loss, logits = task.objective(b)
    z = task(b[0])
    first, second = (cross_entropy(t, b[1], label_smoothing=0.1).item() for t in (z, task.network.auxiliary_logits))
    kl = nn.functional.kl_div(task(x_adv).log_softmax(1), z.softmax(1), reduction="batchmean").item()
    assert kl > 1e-3
    assert torch.allclose(logits, z)
    assert (loss.item(), total.item()) == pytest.approx((first + 3 * kl, first + 0.4 * second + 3 * kl), abs=1e-10)


@pytest.mark.filterwarnings("default:The .grad attribute")  # torch looks at it while it traces, and hides the warning itself
@pytest.mark.parametrize("method", ["pgd", "trades"])
def test_an_inside_that_cannot_be_compiled_is_said_in_one_line(method, monkeypatch):
    def broken(graph, inputs):
        raise RuntimeError("no C++ compiler")

    monkeypatch.setattr(compilation, "compile_", lambda network, options: network.compile(backend=broken))
    task = built(method=method, compile_network=True)
    compilation.compile_(task.network, {})
    with pytest.raises(UserError, match="compile_network: backend='broken' raised") as error:
        task.objective(batch(2))
    assert "\n" not in str(error.value)
    torch.compiler.reset()


def test_statistics_run_over_trained_images_alone():
    counts = {}
    for method in ("pgd", "trades", "fast"):
        task = built(method=method)
        task.objective(batch())
        counts[method] = {int(v) for k, v in task.state_dict().items() if k.endswith("num_batches_tracked")}
    assert counts == {"pgd": {1}, "trades": {2}, "fast": {1}}


# Free


class Line(AdversarialClassifier):
    """Two classes, four pixels, logits W (x − ½) / ½, in float64."""

    def _build(self, data):
        super()._build(data)
        with torch.random.fork_rng():
            torch.manual_seed(3)
            self.model = Normalized(nn.Sequential(nn.Flatten(), nn.Linear(4, 2, bias=False)), [0.5], [0.5])


class Grey(LightningDataModule):
    num_classes, image_shape, class_names, mean, std = 2, (1, 2, 2), ("a", "b"), (0.5,), (0.5,)

    def train_dataloader(self):
        x = 0.3 + 0.4 * torch.rand(6, 1, 2, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
        return DataLoader(TensorDataset(x, torch.tensor([0, 1, 1, 0, 1, 0])), batch_size=2)

    val_dataloader = train_dataloader


def test_two_replays_of_a_linear_model_by_hand(tmp_path):
    """Algorithm 1 of Shafahi et al.: m = 2, three minibatches, δ carries over from each to the next."""
    task = Line(network="darts", method="free", replays=2, learning_rate=0.5, momentum=0.0, weight_decay=0.0, gradient_clip=0.0)
    t = trainer(tmp_path, precision="64-true", limit_train_batches=3, limit_val_batches=0, max_epochs=2)
    weights = []
    task.on_after_backward = lambda: weights.append(task.network[1].weight.detach().clone())
    t.fit(task, Grey())
    W, delta = weights[0], torch.zeros(2, 4, dtype=torch.float64)
    eps, seen = EPS, []
    for x, y in Grey().train_dataloader():
        for _ in range(2):
            seen.append(W)
            z = (x.flatten(1) + delta - 0.5) / 0.5
            error = (z @ W.T).softmax(1) - nn.functional.one_hot(y, 2)
            delta = (delta + eps * (error @ W).sign()).clamp(-eps, eps)  # with the weights of before the step
            W = W - 0.5 * error.T @ z / 2
    assert t.current_epoch == 1  # ⌈2 / 2⌉
    assert t.global_step == 3
    assert len(weights) == 6
    assert all(torch.allclose(a, b, atol=1e-12) for a, b in zip(weights, seen, strict=True))
    assert torch.allclose(task.network[1].weight, W, atol=1e-12)
    assert torch.allclose(task.perturbation.delta.flatten(1), delta, atol=1e-12)
    assert delta.abs().max() == eps
    assert any(not torch.equal(a, b) for a, b in pairwise(seen))


def test_what_is_trained_on_is_in_the_ball_and_in_range():
    task, (x, y, index) = built(method="free"), batch()
    x = x.round()
    for _ in range(3):
        total, _, logits = task.objective((x, y, index))
        leaf = task.perturbation._pending[0]
        assert (leaf - x).abs().max() <= EPS + 1e-12
        assert leaf.min() >= 0
        assert leaf.max() <= 1
        total.backward()
        task.perturbation.move(task.attack, logits.detach())


def test_any_attack_that_asks_for_one_gradient_serves_free_training(tmp_path):
    t = trainer(tmp_path)
    t.fit(task := quick("free", attack=APGD(eps=EPS, steps=1)), digits())
    assert 0 < task.perturbation.delta.abs().max() <= EPS + 1e-6


@pytest.mark.parametrize(("epochs", "replays", "taken"), [(8, 8, 1), (9, 8, 2), (3, 1, 3)])
def test_free_epochs_are_fewer_and_the_cosine_knows(tmp_path, epochs, replays, taken):
    t, task = trainer(tmp_path, max_epochs=epochs, limit_train_batches=1), quick("free", replays=replays)
    t.fit(task, digits())
    assert t.current_epoch == t.max_epochs == taken
    assert t.optimizers[0].param_groups[0]["lr"] == pytest.approx(0, abs=1e-12)
    trainer_again = trainer(tmp_path, max_epochs=epochs, limit_train_batches=1)
    trainer_again.fit(task, digits())
    assert trainer_again.max_epochs == taken


def test_free_training_says_how_many_epochs_it_makes(tmp_path, capsys):
    t = trainer(tmp_path, max_epochs=3, limit_train_batches=1, limit_val_batches=0)
    t.fit(task := quick("free", replays=8), digits())
    assert capsys.readouterr().out.splitlines() == ["free training: 3 epochs are 1 of 8 replays"]
    trainer(tmp_path, limit_train_batches=1, limit_val_batches=0).fit(task, digits())
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(("epochs", "warmup", "fewer"), [(20, 3, 3), (16, 3, 2)])
def test_free_training_must_outlast_its_warmup(tmp_path, epochs, warmup, fewer):
    with pytest.raises(UserError) as error:
        trainer(tmp_path, max_epochs=epochs).fit(quick("free", replays=8, warmup_epochs=warmup), digits())
    says = f"the {fewer} that free training makes of trainer.max_epochs: {epochs} with replays: 8"
    assert str(error.value) == f"warmup_epochs: {warmup} leaves nothing of {says}"


def test_warmup_is_counted_in_the_epochs_of_free_training(tmp_path):
    rates = []

    class Watch(Callback):
        def on_train_epoch_start(self, trainer, *_):
            rates.append(trainer.optimizers[0].param_groups[0]["lr"])

    t = trainer(tmp_path, max_epochs=6, limit_train_batches=1, limit_val_batches=0, callbacks=[Watch()])
    t.fit(quick("free", learning_rate=0.03, warmup_epochs=2), digits())
    assert rates == pytest.approx([0.01, 0.02, 0.03])


def driven(p, x):
    """One replay; what it leaves of δ."""
    leaf = p.apply(ATTACKS["free"](), x, torch.zeros(len(x), dtype=torch.int64), torch.arange(len(x)), 0)
    (leaf * torch.arange(1, len(x) + 1).view(-1, 1, 1, 1)).sum().backward()
    p.move(ATTACKS["free"](), torch.zeros(len(x), 2))
    return p.delta.clone()


def test_a_short_first_minibatch_after_a_kill_takes_nothing_from_the_perturbation():
    p, x = Perturbation(), torch.full((5, 1, 2, 2), 0.5)
    p.delta = torch.rand(5, 1, 2, 2, generator=torch.Generator().manual_seed(0)) * EPS - EPS / 2
    again = Perturbation()
    again.load(p.state())
    assert torch.equal(driven(again, x[:2]), driven(p, x[:2]))
    assert len(again.delta) == 5


@pytest.mark.parametrize(("ranks", "sizes"), [(1, [5]), (2, [3, 2]), (5, [1] * 5)])
def test_every_rank_goes_on_with_its_share_of_the_perturbation(monkeypatch, ranks, sizes):
    whole = torch.linspace(-EPS, EPS, 5).view(5, 1, 1, 1)
    monkeypatch.setattr(collectives, "world_size", lambda: ranks)
    for kept in ([whole[:3], whole[3:]], whole):
        found = []
        for rank in range(ranks):
            monkeypatch.setattr(collectives, "rank", lambda rank=rank: rank)
            p = Perturbation()
            p.load(kept)
            p.apply(ATTACKS["free"](), torch.full((1, 1, 1, 1), 0.5), torch.tensor([0]), torch.tensor([0]), 0)
            found.append(p.delta)
        assert [len(share) for share in found] == sizes
        assert torch.equal(torch.cat(found), whole)


def test_free_training_steps_at_every_minibatch(tmp_path):
    with pytest.raises(UserError, match="accumulate_grad_batches: 2; free training"):
        trainer(tmp_path, accumulate_grad_batches=2).fit(quick("free"), digits())


# Robust accuracy on validation


def test_robust_accuracy_is_that_of_the_attack_on_the_first_images(tmp_path):
    attack, found = PGD(eps=EPS / 2, steps=3, n_restarts=1), {}
    task = quick("fast", valid_every=1, valid_attack=attack)
    t, data = trainer(tmp_path, limit_train_batches=20), digits()
    t.fit(task, data)
    for n in (144, 50):
        task.valid_inputs = n
        if n == 50:
            t.validate(task, data, verbose=False)
        x, y, index = (torch.cat(parts)[:n] for parts in zip(*data.val_dataloader(), strict=True))
        expected = attack(task, x, y, index, seeds.derive(0, "valid")).robust.float().mean()
        found[n] = t.callback_metrics["valid/robust_accuracy"].item()
        assert found[n] == pytest.approx(expected.item(), abs=1e-6)
    assert 0 < found[144] < t.callback_metrics["valid/accuracy"]
    assert found[144] != found[50]


@pytest.mark.parametrize(("every", "epochs"), [(1, [0, 1, 2, 3]), (2, [0, 2, 3]), (3, [0, 3]), (0, [])])
def test_it_is_measured_every_so_many_epochs_and_in_the_last(tmp_path, every, epochs, monkeypatch):
    calls = []
    inner = AdversarialClassifier.on_validation_epoch_end
    monkeypatch.setattr(
        AdversarialClassifier,
        "on_validation_epoch_end",
        lambda task: (task._victim and calls.append(task.current_epoch), inner(task)),
    )
    t = trainer(tmp_path, max_epochs=4, limit_train_batches=1, limit_val_batches=1, num_sanity_val_steps=1)
    t.fit(quick(valid_every=every), digits())
    assert calls == epochs
    assert ("valid/robust_accuracy" in t.callback_metrics) == bool(epochs)


def measured_in(monkeypatch):
    """A list to which every measurement adds its epoch."""
    calls, inner = [], AdversarialClassifier.on_validation_epoch_end

    def watched(task):
        if task._victim:
            calls.append(task.current_epoch)
        inner(task)

    monkeypatch.setattr(AdversarialClassifier, "on_validation_epoch_end", watched)
    return calls


@pytest.mark.parametrize(("every", "apart", "total", "epochs"), [(2, 2, 4, [1, 3]), (3, 2, 7, [1, 5]), (9, 3, 8, [2, 5])])
def test_it_is_measured_where_validations_are_epochs_apart(tmp_path, monkeypatch, every, apart, total, epochs):
    calls = measured_in(monkeypatch)
    t = trainer(tmp_path, max_epochs=total, limit_train_batches=1, limit_val_batches=1, check_val_every_n_epoch=apart)
    t.fit(quick(valid_every=every), digits())
    assert calls == epochs


def test_a_resumed_training_measures_in_the_same_epochs(tmp_path, monkeypatch):
    calls, few = measured_in(monkeypatch), {"max_epochs": 7, "limit_train_batches": 2, "limit_val_batches": 1}
    with pytest.raises(KilledError):
        trainer(tmp_path, **few, callbacks=[SaveAndKill(5, tmp_path / "a.ckpt")]).fit(task := quick(valid_every=4), digits())
    trainer(tmp_path, **few).fit(quick(valid_every=4), digits(), ckpt_path=str(tmp_path / "a.ckpt"))
    assert calls == [0, 4, 6]
    calls.clear()
    trainer(tmp_path, max_epochs=2, limit_train_batches=1, limit_val_batches=1).fit(task, digits())  # another training
    assert calls == [0, 1]


def test_what_validates_is_the_same_attack_with_more_steps_unless_said():
    task = quick(attack=PGD(eps=4 / 255, step_size=1 / 255, steps=3, n_restarts=1))
    v = task.valid_attack
    assert (v.eps, v.step_size, v.steps, v.n_restarts, v.goal, v.norm) == (4 / 255, 1 / 255, 10, 1, "untargeted", "linf")
    assert quick(attack=PGD(eps=2.0, step_size=0.5, n_restarts=1, norm="l2")).valid_attack.norm == "l2"


class Falling(AdversarialClassifier):
    """Robust accuracy as written: 3, 5, 4, 4, 4 of 8."""

    hits = (3, 5, 4, 4, 4, 4, 4, 4)

    def validation_step(self, batch, batch_idx):
        super().validation_step(batch, batch_idx)
        if self._victim is not None:
            self.robust_accuracy.hits.fill_(self.hits[self.current_epoch])
            self.robust_accuracy.counted.fill_(8)


def falling(folder, **arguments):
    few = {"max_epochs": 8, "limit_train_batches": 1, "limit_val_batches": 1, "enable_checkpointing": True}
    stop = EarlyStopping("valid/robust_accuracy", mode="max", patience=2)
    return trainer(folder, callbacks=[stop, *arguments.pop("callbacks", [])], **few | arguments)


def short(**arguments):
    return classifier(Falling, attack=PGD(eps=EPS, steps=1, n_restarts=1), **arguments)


def test_early_stopping_and_the_best_checkpoint_go_by_it(tmp_path):
    t = falling(tmp_path)
    t.fit(short(), digits())
    assert t.current_epoch == 4  # epochs 0 to 3: the best, and two without a better one
    best = read(tmp_path / "checkpoints" / "best.ckpt")
    assert best["epoch"] == 1
    assert best["callbacks"]["Checkpoints"]["best"] == 5 / 8


class KilledError(Exception):
    pass


class SaveAndKill(Callback):
    def __init__(self, step, path):
        self.step, self.path = step, path

    def on_train_batch_end(self, trainer, *_):
        if trainer.global_step == self.step:
            trainer.save_checkpoint(self.path)
            raise KilledError


def test_early_stopping_counts_measurements_alone(tmp_path):
    t = falling(tmp_path, check_val_every_n_epoch=2, max_epochs=20)
    task = short()
    task.hits = [0, 3, 0, 5, 0, 4, 0, 4, *[0] * 12]
    t.fit(task, digits())
    assert t.current_epoch == 8


@pytest.mark.parametrize(
    ("every", "data", "limits", "says"),
    [
        (0, {}, {}, "EarlyStopping: valid/robust_accuracy is never measured with valid_every: 0"),
        (2, {}, {}, "valid_every: 1 with trainer.check_val_every_n_epoch: 2 counts measurements alone"),
        (1, {"validation": 0.0}, {}, "is never measured, as nothing is validated (data.validation, trainer.limit_val_batches)"),
        (1, {}, {"limit_val_batches": 0}, "is never measured, as nothing is validated"),
    ],
)
def test_early_stopping_by_what_is_not_measured_is_refused(tmp_path, every, data, limits, says):
    with pytest.raises(UserError) as error:
        falling(tmp_path, **limits).fit(short(valid_every=every), digits(**data))
    assert says in str(error.value)
    assert "\n" not in str(error.value)


def test_without_a_measurement_the_best_is_by_accuracy(tmp_path):
    assert quick(valid_every=0).best_by == "valid/accuracy"
    t = trainer(tmp_path, enable_checkpointing=True)
    t.fit(quick(valid_every=0), digits())
    kept = read(tmp_path / "checkpoints" / "best.ckpt")["callbacks"]["Checkpoints"]["best"]
    assert kept == pytest.approx(t.callback_metrics["valid/accuracy"].item())


# A kill


NOISY = {"drop_path": 0.3, "dropout": 0.1, "auxiliary": True}


def three_epochs(folder, method, **arguments):
    epochs = {"max_epochs": 6 if method == "free" else 3}  # two replays each
    return trainer(folder, **epochs, limit_train_batches=3, limit_val_batches=1, **arguments)


@pytest.mark.parametrize("method", ["pgd", "free", *(pytest.param(m, marks=pytest.mark.slow) for m in ("trades", "fast"))])
def test_a_killed_training_goes_on_bit_for_bit(tmp_path, method):
    whole = quick(method, options=NOISY)
    three_epochs(tmp_path, method).fit(whole, digits())
    killed = three_epochs(tmp_path, method, callbacks=[SaveAndKill(5, tmp_path / "a.ckpt")])
    with pytest.raises(KilledError):
        killed.fit(quick(method, options=NOISY), digits())
    resumed, t = quick(method, options=NOISY), three_epochs(tmp_path, method)
    t.fit(resumed, digits(), ckpt_path=str(tmp_path / "a.ckpt"))
    assert t.global_step == 9
    assert same(state(resumed), state(whole))


def test_a_loss_that_is_no_number_stops_it(tmp_path):
    with pytest.raises(UserError, match="the loss is not finite at step"):
        trainer(tmp_path, limit_train_batches=8).fit(quick(learning_rate=1e30, gradient_clip=0.0), digits())


# Checkpoints and rows


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    t, task = trainer(folder, enable_checkpointing=True), quick("free", learning_rate=0.01)
    t.fit(task, digits())
    return folder, t, task


def test_it_is_read_as_a_classifier(run):
    folder, _, task = run
    x, path = torch.rand(4, 3, 16, 16), folder / "checkpoints" / "last.ckpt"
    logits = task.eval()(x)
    assert torch.equal(robnas.load(folder)(x), logits)
    for kind in (Classifier, AdversarialClassifier):
        again = kind.load_from_checkpoint(path, weights_only=True)
        assert torch.equal(again.eval()(x), logits)
        assert again.learning_rate == 0.01
    assert (again.method, again.replays) == ("free", 2)
    assert [share.shape for share in again.perturbation.state()] == [(32, 3, 16, 16)]
    plain = read(path)["hyper_parameters"]
    assert yaml.safe_load(yaml.safe_dump(plain)) == plain


def test_a_plain_training_may_be_hardened_and_gone_on_with(run, tmp_path):
    t = trainer(tmp_path, enable_checkpointing=True)
    t.fit(classifier(), digits())
    longer = trainer(tmp_path, max_epochs=2, enable_checkpointing=True)
    longer.fit(quick(), digits(), ckpt_path=str(tmp_path / "checkpoints" / "last.ckpt"))
    assert longer.global_step == 4


def test_the_row_says_how_it_was_trained(run):
    _, t, task = run
    row = final_test(t, task, t.datamodule)
    expected = {"method": "free", "attack": "pgd", "replays": 2, "eps": EPS, "steps": 1, "step_size": EPS}
    assert row.params | expected == row.params
    assert (row.kind, row.plugin, row.metric) == ("train", "accuracy", "accuracy")
    assert "beta" not in row.params


# What it is for


@pytest.mark.slow
def test_robust_accuracy_rises_by_a_third_at_least(tmp_path):
    """A few epochs on digits: fast training against plain training, PGD with 20 steps and 5 restarts on the test images."""
    robust = {}
    for kind in (Classifier, AdversarialClassifier):
        arguments = {"method": "fast", "valid_every": 0} if kind is AdversarialClassifier else {}
        task, data = kind(network="resnet", size="tiny", **arguments), digits(batch_size=64)
        trainer(tmp_path, max_epochs=12, limit_train_batches=1.0).fit(task, data)
        x, y, index = (torch.cat(parts) for parts in zip(*data.test_dataloader(), strict=True))
        found = PGD(steps=20, n_restarts=5)(task, x, y, index)
        assert found.correct.float().mean() > 0.9
        robust[kind] = found.robust.float().mean().item()
    assert robust[AdversarialClassifier] > robust[Classifier] + 1 / 3


# What does not go


class OfScores(Evasion):
    access = "score"


class OfLabels(Evasion):
    access = "label"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"method": "pdg"}, "unknown method 'pdg'. Did you mean 'pgd'?"),
        ({"beta": -1.0}, "beta: -1.0 is negative"),
        ({"replays": 0}, "replays: 0 is not at least 1"),
        ({"valid_inputs": 0}, "valid_inputs: 0 is not at least 1"),
        ({"valid_every": -1}, "valid_every: -1 is negative"),
        ({"attack": PGD(goal="least_likely")}, "attack: pgd has the goal least_likely"),
        ({"attack": OfLabels()}, "attack: oflabels asks for labels alone"),
        ({"attack": OfScores()}, "attack: ofscores asks for scores alone"),
        ({"attack": APGD(eps=math.inf)}, "attack: apgd has eps inf"),
        ({"valid_attack": PGD(goal="most_likely")}, "valid_attack: pgd has the goal most_likely"),
        ({"valid_attack": APGD(eps=math.inf)}, "valid_attack: apgd has eps inf"),
        ({"method": "fast", "attack": PGD(steps=7, n_restarts=1)}, "attack: pgd takes 7 steps; fast takes one"),
        ({"method": "free", "attack": PGD(steps=7, n_restarts=1)}, "free takes one; it is replays that count"),
        ({"method": "fast", "attack": PGD(steps=1)}, "attack: pgd has 5 restarts; fast has one run"),
        ({"method": "trades", "attack": PGD(random_start=False)}, "its gradient; attack.random_start must be true"),
        ({"learning_rate": -1.0}, "learning_rate: -1.0 is not positive"),
    ],
)
def test_what_does_not_go_is_refused_in_one_line(arguments, says):
    with pytest.raises(UserError) as error:
        classifier(AdversarialClassifier, **arguments)
    assert says in str(error.value)
    assert "\n" not in str(error.value)


def test_what_measures_may_see_as_little_as_it_likes():
    assert quick(valid_attack=OfLabels()).valid_attack.access == "label"


def test_a_radius_below_zero_is_the_attacks_to_refuse():
    with pytest.raises(UserError, match=r"eps: -0\.1 is negative"):
        quick(attack=PGD(eps=-0.1))


def test_a_misspelt_argument_is_not_swallowed():
    with pytest.raises(TypeError, match="learning_rat"):
        AdversarialClassifier(learning_rat=0.1)


def test_table_6():
    table = {name: (a.eps, a.step_size, a.steps, a.n_restarts, a.random_start) for name, make in ATTACKS.items() for a in [make()]}
    e = 1 / 255
    assert table == {
        "pgd": (8 * e, 2 * e, 7, 1, True),
        "trades": (8 * e, 2 * e, 7, 1, True),
        "free": (8 * e, 8 * e, 1, 1, False),
        "fast": (8 * e, 10 * e, 1, 1, True),
    }
