"""A whole theft: what the replica is trained on, what is said of it, what is refused."""

import hashlib

import numpy as np
import pytest
import torch
from lightning.pytorch import Callback
from torch import nn
from torch.nn.functional import cross_entropy

import robnas
from command_line import refused
from robnas.attacks.backdoor import BadNets
from robnas.attacks.defences.loss_filter import LossFilter
from robnas.attacks.defences.rounded_answers import RoundedAnswers
from robnas.attacks.poisoning import LabelFlip
from robnas.attacks.stealing import Knockoff
from robnas.attacks.stealing.compare import compare, numbers
from robnas.data import Textures32
from robnas.errors import UserError
from robnas.results import Rows
from robnas.runtime.trainer import Trainer
from robnas.tasks import AdversarialClassifier, Classifier
from small_theft import QUIET, SMALL, data, fit


@pytest.fixture(scope="module")
def victim(tmp_path_factory):
    """A run folder; trained on 517 of 1,437 inputs, 144 held out to validate."""
    folder = tmp_path_factory.mktemp("victim")
    fit(folder, max_epochs=4)
    return folder


class Stop(BaseException):
    """Stands for a kill."""


class StopAfterAnEpoch(Callback):
    def on_train_epoch_start(self, trainer, pl_module):
        if trainer.current_epoch == 1:
            raise Stop


def bytes_of(folder):
    return {str(p): hashlib.blake2b(p.read_bytes()).hexdigest() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_the_replica_learns_the_victims_answers_to_inputs_that_are_not_its_members(tmp_path, victim):
    before = bytes_of(victim)
    thief = Knockoff(victim=str(victim), budget=100)
    _, model, digits = fit(tmp_path, thief, test=True)
    table = np.load(tmp_path / "queries.npz")
    member = np.load(victim / "membership.npz")["status"]
    assert len(set(table["index"].tolist())) == 100 == int(table["asked"])
    assert set(member[table["index"]].tolist()) == {0}  # neither members nor what is held out
    images, index = digits.trained_on()
    assert sorted(index.tolist()) == sorted(table["index"].tolist())
    with torch.no_grad():
        p = robnas.load(victim)(images.__getitems__(index).x / 255).softmax(1)
    torch.testing.assert_close(model.soft_labels(index), p)
    assert torch.equal(images.y[index], p.argmax(1))
    assert bytes_of(victim) == before

    rows = {row.metric: row for row in Rows(tmp_path / "results.jsonl").read() if row.plugin == "knockoff"}
    assert set(rows) == {"ace", "divergence", "agreement", "replica_accuracy", "victim_accuracy", "queries"}
    assert rows["queries"].value == 100
    x, y = (torch.cat(parts) for parts in zip(*((b.x, b.y) for b in data().test_dataloader()), strict=True))
    with torch.no_grad():
        v, r = robnas.load(victim)(x), robnas.load(tmp_path / "checkpoints" / "last.ckpt")(x)
    assert rows["ace"].value == pytest.approx(float(cross_entropy(r, v.softmax(1))), rel=1e-5)
    assert rows["ace"].ci[0] < rows["ace"].value < rows["ace"].ci[1]
    assert rows["victim_accuracy"].value == pytest.approx(float((v.argmax(1) == y).float().mean()), abs=1e-6)
    assert rows["agreement"].value == pytest.approx(float((v.argmax(1) == r.argmax(1)).float().mean()), abs=1e-6)
    kept = torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)["hyper_parameters"]["attacked"]["knockoff"]
    assert kept["victim"] == rows["ace"].params["victim"]
    assert str(victim) not in str(kept)


def test_the_loss_is_the_soft_one(tmp_path, victim):
    losses = {}

    class Look(Classifier):
        def objective(self, batch):
            found = super().objective(batch)
            logits = found[2].detach()
            if self.soft_labels is not None:
                losses["is"], losses["soft"] = float(found[1].detach()), float(cross_entropy(logits, self.soft_labels(batch[2])))
                losses["hard"] = float(cross_entropy(logits, batch[1]))
            return found

    _, model, digits = fit(tmp_path / "a", Knockoff(victim=str(victim), budget=64), model=Look(**SMALL))
    assert losses["is"] == pytest.approx(losses["soft"])
    assert abs(losses["is"] - losses["hard"]) > 1e-3
    fit(tmp_path / "c", model=model, digits=digits)  # an honest training after it, with the same objects
    assert model.soft_labels is None


def test_labels_alone_are_one_hot_and_a_defence_can_make_them_so(tmp_path, victim):
    _, hard, _ = fit(tmp_path / "a", Knockoff(victim=str(victim), budget=64, answers="label"))
    _, defended, _ = fit(tmp_path / "b", Knockoff(victim=str(victim), budget=64), RoundedAnswers("labels"))
    rows = hard.soft_labels(torch.from_numpy(np.load(tmp_path / "a" / "queries.npz")["index"]))
    assert rows.amax(1).tolist() == rows.sum(1).tolist() == [1] * 64
    weights = hard.state_dict(), defended.state_dict()
    assert all(torch.equal(weights[0][k], weights[1][k]) for k in weights[0])
    assert set(defended.defended) == {"roundedanswers"}
    with pytest.raises(UserError, match="nothing in this fit steals"):
        fit(tmp_path / "c", RoundedAnswers())


def test_adaptive_and_adversarial_training_of_the_replica(tmp_path, victim):
    model = AdversarialClassifier(**SMALL, method="fast", valid_every=0)
    fit(tmp_path, Knockoff(victim=str(victim), budget=40, strategy="adaptive"), model=model)
    table = np.load(tmp_path / "queries.npz")
    assert table["reward"].shape == table["action"].shape == (40,)
    assert table["action"].tolist() == data().sets()[0].y[table["index"]].tolist()
    assert np.isfinite(table["reward"]).all()


def test_a_run_that_goes_on_asks_nothing_and_trains_on_the_same(tmp_path, victim, monkeypatch):
    _, whole, _ = fit(tmp_path / "whole", Knockoff(victim=str(victim), budget=64), max_epochs=2)
    with pytest.raises(Stop):
        fit(tmp_path / "left", Knockoff(victim=str(victim), budget=64), StopAfterAnEpoch(), max_epochs=2)
    monkeypatch.setattr("robnas.attacks.stealing.base.Oracle", None)  # nobody is asked
    trainer = Trainer(default_root_dir=tmp_path / "left", max_epochs=2, callbacks=[Knockoff(victim=str(victim), budget=64)], **QUIET)
    again = Classifier(**SMALL)
    trainer.fit(again, datamodule=data(), ckpt_path=str(tmp_path / "left" / "checkpoints" / "last.ckpt"))
    assert trainer.global_step == 4
    assert all(torch.equal(whole.state_dict()[k], t) for k, t in again.state_dict().items())


@pytest.mark.parametrize(("pool", "status"), [("members", {1}), ("train", {0, 1}), ("non_members", {0})])
def test_the_pool_is_what_was_asked_for_and_never_validation(tmp_path, victim, pool, status):
    fit(tmp_path, Knockoff(victim=str(victim), budget=400, pool=pool))
    index = np.load(tmp_path / "queries.npz")["index"]
    assert set(np.load(victim / "membership.npz")["status"][index].tolist()) == status


def test_another_data_set_is_a_pool_too(tmp_path, victim):
    other = Textures32(n_train=80, n_test=10, validation=0.0, num_classes=4, seed=0)
    _, model, digits = fit(tmp_path, Knockoff(victim=str(victim), budget=70, pool_data=other, strategy="adaptive", rewards="diversity"))
    images, index = digits.trained_on()
    batch = images.__getitems__(index[:5])
    assert batch.x.shape == (5, 3, 16, 16)  # of 32 × 32
    assert batch.x.dtype == torch.uint8
    small = nn.functional.interpolate(other.sets()[0].x[index[:5]].float(), (16, 16), mode="bilinear", antialias=True)
    assert (batch.x.float() - small).abs().max() <= 0.5
    assert "Textures32" in model.attacked["knockoff"]["pool_data"]
    assert "object" not in model.attacked["knockoff"]["pool_data"]


def test_what_is_refused_in_a_line(tmp_path, victim):
    with pytest.raises(UserError, match=r"budget: 5,000 queries, but the pool \(non_members\) has 776 inputs"):
        fit(tmp_path / "a", Knockoff(victim=str(victim), budget=5000))
    with pytest.raises(UserError, match="victim: a run folder is needed"):
        Knockoff()
    with pytest.raises(UserError, match="unknown pool 'test'"):
        Knockoff(victim="v", pool="test")
    with pytest.raises(UserError, match="unknown strategy 'greedy'"):
        Knockoff(victim="v", strategy="greedy")
    fit(tmp_path / "all", digits=data(members=1.0))
    with pytest.raises(UserError, match="pool: non_members is empty"):
        fit(tmp_path / "b", Knockoff(victim=str(tmp_path / "all"), budget=10))
    (tmp_path / "own_victim.py").write_text(
        "from torch import nn\n\ndef net():\n    return nn.Sequential(nn.Flatten(), nn.Linear(768, 4))\n"
    )
    own = f"{tmp_path / 'own_victim.py'}:net"
    with pytest.raises(UserError, match="nothing says whom"):
        fit(tmp_path / "c", Knockoff(victim=own, budget=40))
    with pytest.raises(UserError, match="it answers 4 classes, but the data have 10"):
        fit(tmp_path / "d", Knockoff(victim=own, budget=40, pool="train"))
    with pytest.raises(UserError, match="a replica learns from one theft"):
        fit(tmp_path / "e", Knockoff(victim=str(victim)), Knockoff(victim=str(victim)))


def test_nothing_else_acts_on_the_training_of_a_replica(tmp_path, victim):
    """It would be without effect, and yet say in rows and checkpoint that it was there."""
    for other in (LabelFlip(clean="none"), BadNets(clean="none"), LossFilter(start=1)):
        for callbacks in ([Knockoff(victim=str(victim)), other], [other, Knockoff(victim=str(victim))]):
            with pytest.raises(UserError, match=f"nothing in its training for {other.name}"):
                fit(tmp_path, *callbacks, max_epochs=2)
    assert not (tmp_path / "queries.npz").exists()


def test_a_budget_below_a_batch_is_refused_before_the_victim_is_asked(tmp_path, victim):
    with pytest.raises(UserError, match=r"budget: 31 queries are fewer than data\.batch_size: 32"):
        fit(tmp_path, Knockoff(victim=str(victim), budget=31))
    assert not list(tmp_path.glob("queries.*"))


def test_without_data_a_victim_that_is_no_run_is_named(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    said = refused("fit --config knockoff --wandb=off --attacks.knockoff.victim=nowhere", capsys)
    assert "data: the victim nowhere is no run folder" in said
    assert "victim: a run folder is needed" in refused("fit --config knockoff --config digits --wandb=off", capsys)


def test_whom_a_stolen_model_was_trained_on_its_own_split_does_not_say(tmp_path, victim):
    fit(tmp_path / "replica", Knockoff(victim=str(victim), budget=64))
    for pool in ("non_members", "members"):
        with pytest.raises(UserError, match=f"is itself a stolen model.* no telling {pool}"):
            fit(tmp_path / "b", Knockoff(victim=str(tmp_path / "replica"), budget=64, pool=pool))
    fit(tmp_path / "b", Knockoff(victim=str(tmp_path / "replica"), budget=64, pool="train"))


def test_what_the_victims_first_weights_were_trained_on_is_no_non_member(tmp_path, victim):
    fit(tmp_path / "later", digits=data(members=0.3, members_seed=5), model=Classifier(**SMALL, init_from=str(victim)))
    (tmp_path / "later" / "config.yaml").write_text(f"model: {{init_args: {{init_from: {victim}}}}}\n")
    fit(tmp_path / "replica", Knockoff(victim=str(tmp_path / "later"), budget=300))
    index = np.load(tmp_path / "replica" / "queries.npz")["index"]
    status = [np.load(folder / "membership.npz")["status"][index] for folder in (victim, tmp_path / "later")]
    assert set(status[0].tolist()) == set(status[1].tolist()) == {0}


def test_the_divergence_to_a_copy_of_the_victim_is_nothing(victim):
    x = next(iter(data(batch_size=200).test_dataloader())).x
    found = compare(robnas.load(victim), robnas.load(victim), x)
    said = numbers({name: t.numpy() for name, t in (found | {"label": found["victim"]}).items()})
    assert abs(said["divergence"].value) < 1e-6
    assert said["agreement"].value == said["victim_accuracy"].value == 1
    other = compare(robnas.load(victim), nn.Sequential(nn.Flatten(), nn.Linear(768, 10)), x)
    assert float(other["divergence"].mean()) > 0.1


def test_inputs_without_an_answer_are_in_no_number(victim):
    class Silent(nn.Module):
        def forward(self, x):
            logits = x.flatten(1)[:, :10].clone()
            logits[:3] = torch.nan
            return logits

    x = next(iter(data(batch_size=20).test_dataloader())).x
    found = compare(robnas.load(victim), Silent(), x)
    assert found["errored"].tolist() == [True] * 3 + [False] * 17
    said = numbers({name: t.numpy() for name, t in (found | {"label": found["victim"]}).items()})
    assert {number.n for number in said.values()} == {17}
    assert all(number.flags == ("3 inputs without an answer",) for number in said.values())
