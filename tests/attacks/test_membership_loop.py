"""Membership in Lightning's test loop: who is asked about, rows, kills, ranks."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from lightning.fabric.plugins.environments import LightningEnvironment
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.strategies import DDPStrategy
from rich.console import Console
from sklearn.metrics import roc_auc_score
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from membership_victims import Memory
from ranks import run_on_ranks
from robnas.attacks import summary
from robnas.attacks.membership import Confidence, HopSkipJumpDistance, Loss, NoiseRobustness, inputs
from robnas.attacks.membership.summary import _refused
from robnas.attacks.unfinished import Unfinished
from robnas.data import membership
from robnas.data.digits import Digits
from robnas.errors import UserError
from robnas.results import Rows

QUIET = {"enable_progress_bar": False, "enable_model_summary": False, "enable_checkpointing": False, "accelerator": "cpu"}
N_TRAIN = 1437


class Task(LightningModule):
    """Remembers 40 members. Training would show augmented images; the test loop must not."""

    def __init__(self, model: nn.Module | None = None) -> None:
        super().__init__()
        images = Digits().sets()[0]
        self.model = model or Memory(images.x[:40].double() / 255, images.y[:40])
        self.double()

    def forward(self, x):
        return self.model(x)

    def test_step(self, batch, batch_idx):
        pass


def run(folder, found=None, members=0.5, seed=0, batch_size=30, provenance=None, task=None, write=True, **kwargs):
    data = Digits(batch_size=batch_size, seed=0, members=members, members_seed=3)
    found = [Confidence(max_inputs=60)] if found is None else found
    if write:
        membership.write(folder, data.membership(), members, 3)
    trainer = Trainer(default_root_dir=folder, callbacks=found, logger=False, **QUIET, **kwargs)
    trainer.rows = Rows(Path(folder) / "results.jsonl")
    trainer.provenance = {"job": "3fa9", "dataset": "digits", "attack_seed": seed} | (provenance or {})
    trainer.test(task or Task(), datamodule=data, verbose=False)
    return [row for attack in found for row in attack.rows]


def outcomes(folder, row) -> dict[str, np.ndarray]:
    return Rows(Path(folder) / "results.jsonl").read_outcomes(row)


def status(folder) -> membership.Membership:
    return membership.read(folder)


def test_non_members_come_from_the_training_set_where_it_has_any(tmp_path):
    rows = run(tmp_path)
    o, who = outcomes(tmp_path, rows[0]), status(tmp_path)
    index, member = o["index"], o["member"]
    assert len(np.unique(index)) == len(index) == 120
    assert member.sum() == 60
    assert index.max() < N_TRAIN
    assert who.member[index[member]].all()
    assert who.non_member[index[~member]].all()  # so the validation part is neither
    images = Digits().sets()[0]
    assert np.array_equal(o["label"], images.y[index].numpy())
    x = images.x[index].double() / 255  # as stored: not augmented
    p = Task()(x).softmax(1).gather(1, images.y[index][:, None])[:, 0]
    assert np.allclose(o["score"], p.detach().numpy(), rtol=1e-9)


@pytest.mark.parametrize(("members", "non_members"), [(1.0, "auto"), (0.5, "test"), (1.0, "validation")])
def test_non_members_come_from_elsewhere_where_that_is_asked_for(tmp_path, members, non_members):
    rows = run(tmp_path, [Confidence(max_inputs=60, non_members=non_members)], members=members)
    o, who = outcomes(tmp_path, rows[0]), status(tmp_path)
    others = o["index"][~o["member"]]
    assert len(others) == 60
    if non_members == "validation":
        assert who.validation[others].all()
    else:
        assert others.min() >= N_TRAIN
        assert others.max() < N_TRAIN + 360
        assert np.array_equal(o["label"][~o["member"]], Digits().sets()[1].y[others - N_TRAIN].numpy())


def test_the_same_inputs_for_all_models_with_the_same_members(tmp_path):
    first = outcomes(tmp_path / "a", run(tmp_path / "a")[0])
    flat = nn.Sequential(nn.Flatten(), nn.Linear(768, 10))
    other = outcomes(tmp_path / "b", run(tmp_path / "b", seed=7, batch_size=17, task=Task(flat))[0])
    fewer = outcomes(tmp_path / "c", run(tmp_path / "c", [Loss(max_inputs=20)])[0])
    drawn = outcomes(tmp_path / "d", run(tmp_path / "d", [Confidence(max_inputs=60, inputs_seed=1)])[0])
    assert np.array_equal(first["index"], other["index"])
    assert set(fewer["index"]) < set(first["index"])
    assert len(set(drawn["index"]) & set(first["index"])) < 60


def test_fewer_than_asked_for_are_all_there_are(tmp_path):
    rows = {row.metric: row for row in run(tmp_path, [Confidence(max_inputs=5000)])}
    assert rows["member_accuracy"].n == status(tmp_path).member.sum()
    assert rows["non_member_accuracy"].n == status(tmp_path).non_member.sum()
    assert rows["auc"].n == rows["auc"].eligible == 1437 - status(tmp_path).validation.sum()


def test_rows_say_all_that_was_found(tmp_path):
    attack = Confidence(max_inputs=None, members="run", non_members="test")
    rows = {row.metric: row for row in run(tmp_path, [attack])}
    o = outcomes(tmp_path, rows["auc"])
    assert rows["auc"].value == pytest.approx(roc_auc_score(o["member"], o["score"]))
    low, high = rows["auc"].ci
    assert low < rows["auc"].value < high
    assert rows["auc"].ci_method == "delong, logit"
    assert "folded_auc" not in rows
    assert rows["tpr_at_fpr_0.1"].value is not None
    for fpr, need in (("0.01", "1,000"), ("0.001", "10,000")):
        row = rows[f"tpr_at_fpr_{fpr}"]
        assert (row.value, row.n, row.ci) == (None, 0, None)
        assert row.flags == [f"refused: 360 negatives, {need} needed"]
    accuracy = [o["correct"][o["member"] == group].mean() for group in (True, False)]
    assert rows["overfitting_gap"].value == pytest.approx(accuracy[0] - accuracy[1])
    assert rows["member_accuracy"].value == pytest.approx(accuracy[0])
    assert {row.access for row in rows.values()} == {"score"}
    assert {row.norm for row in rows.values()} == {None}
    assert {row.queries for row in rows.values()} == {len(o["index"])}
    assert rows["auc"].params["non_members"] == "test"


def test_the_authors_filter_and_fold(tmp_path):
    attack = HopSkipJumpDistance(
        1, 5, 5, measured="linf", max_inputs=10, non_members="test", confidence=[0.5, 0.99], fold=True, members="run"
    )
    rows = {row.metric: row for row in run(tmp_path, [attack])}
    o = outcomes(tmp_path, rows["auc"])
    assert (o["member"].sum(), (~o["member"]).sum()) == (10, 10)
    assert o["eligible"].all()
    others = o["index"][~o["member"]] - N_TRAIN
    p = Task()(Digits().sets()[1].x[others].double() / 255).softmax(1).amax(1)
    assert bool(((p >= 0.5) & (p <= 0.99)).all())
    assert rows["folded_auc"].value == max(rows["auc"].value, 1 - rows["auc"].value)
    assert rows["auc"].params["confidence"] == [0.5, 0.99]
    assert rows["auc"].params["fold"] is True
    with pytest.raises(UserError, match="no non-member of 360"):
        run(tmp_path, [Confidence(non_members="test", confidence=[0.0, 1e-9])])


def test_batch_sizes_change_nothing(tmp_path):
    def found():
        return [NoiseRobustness(sigmas=[0.1, 0.3], copies=3, max_inputs=20), Loss(max_inputs=20)]

    first = run(tmp_path / "30", found())
    for size in (1, 64):
        for one, other in zip(first, run(tmp_path / str(size), found(), batch_size=size), strict=True):
            assert one.value == pytest.approx(other.value, abs=1e-12)
            mine, theirs = outcomes(tmp_path / "30", one), outcomes(tmp_path / str(size), other)
            for name, values in mine.items():
                assert np.allclose(values, theirs[name], rtol=0, atol=1e-9, equal_nan=True), name


def test_what_was_through_when_it_was_killed_is_not_asked_again(tmp_path, monkeypatch):
    class Counts(Confidence):
        calls, fails = 0, False

        def score(self, victim, s):
            type(self).calls += 1
            if self.fails and self.calls == 3:
                raise RuntimeError("the machine goes down")
            return super().score(victim, s)

    monkeypatch.setattr(Unfinished, "worth", 0.0)
    Counts.fails = True
    with pytest.raises(RuntimeError, match="goes down"):
        run(tmp_path, [Counts(max_inputs=60)])
    Counts.calls, Counts.fails = 0, False
    rows = run(tmp_path, [Counts(max_inputs=60)], write=False)
    assert Counts.calls == 2  # of four batches
    whole = run(tmp_path / "whole", [Counts(max_inputs=60)])
    assert [row.value for row in rows] == [row.value for row in whole]


def test_inputs_that_error_are_named_by_their_number(tmp_path):
    class Dark(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.Linear(768, 10)

        def forward(self, x):
            x = x.flatten(1)
            return torch.where(x[:, 300:400].mean(1, keepdim=True) > 0.45, torch.nan, self.inner(x))

    with pytest.warns(UserWarning, match="gave no numbers.*counted apart"):
        rows = {row.metric: row for row in run(tmp_path, task=Task(Dark()))}
    lost = int(outcomes(tmp_path, rows["auc"])["errored"].sum())
    assert 0 < lost == rows["auc"].errored
    assert rows["auc"].n == rows["overfitting_gap"].n == 120 - lost


def test_a_model_from_elsewhere(tmp_path):
    with pytest.raises(UserError, match=r"does not say whom the model was trained on .*members: data"):
        run(tmp_path, write=False)
    rows = run(tmp_path, [Confidence(max_inputs=60, members="data")], write=False)
    assert Digits(seed=0, members=0.5, members_seed=3).membership()[outcomes(tmp_path, rows[0])["index"]].unique().tolist() == [0, 1]


def test_what_cannot_be_asked_is_said(tmp_path):
    x, y = torch.rand(4, 3, 16, 16), torch.zeros(4, dtype=torch.int64)
    trainer = Trainer(default_root_dir=tmp_path, callbacks=[Confidence()], logger=False, **QUIET)
    with pytest.raises(UserError, match="robnas data set"):
        trainer.test(Task(), DataLoader(TensorDataset(x, y)), verbose=False)
    with pytest.raises(UserError, match="whole training set"):
        run(tmp_path, [Confidence(non_members="train")], members=1.0)
    membership.write(tmp_path, torch.ones(10, dtype=torch.uint8), 1.0, 0)
    with pytest.raises(UserError, match="trained on 10 inputs"):
        run(tmp_path, write=False)


def test_the_cost_of_hopskipjump_is_said_before(tmp_path, capsys):
    run(tmp_path, [attack := HopSkipJumpDistance(1, 5, 5, max_inputs=2)])
    each = attack.settings()
    assert each == {"steps": 1, "initial_evaluations": 5, "max_evaluations": 5, "norm": "l2"}
    said = capsys.readouterr().err
    assert "hopskipjumpdistance: about " in said
    assert "of 4 inputs, about " in said


def test_a_table_of_its_own_100_wide(tmp_path):
    rows = run(tmp_path, [NoiseRobustness(sigmas=[0.2], copies=2, fold=True), Confidence()])
    console = Console(width=100, record=True, force_terminal=False)
    summary.show(rows, console)
    text = console.export_text()
    assert max(map(len, text.splitlines())) <= 100
    assert "…" not in text
    assert "Attacks on n inputs" not in text
    auc = next(row for row in rows if row.metric == "auc" and row.plugin == "confidence")
    for cell in ("confidence", f"{auc.value:.3f}", "noiserobustness: max(AUC, 1 − AUC)", "refused: ", "at 0.1% FPR"):
        assert cell in text, cell
    assert "at 0.1%" not in text.splitlines()[3]  # no column for what was refused to all
    other = [type(r)(**(vars(r) | {"model": "darts", "job": "b", "errored": 3})) for r in rows]
    summary.show([*rows, *other], console)
    text = console.export_text()
    assert max(map(len, text.splitlines())) <= 100
    assert "3 more inputs errored" in text


def test_each_rank_asks_about_inputs_of_its_own_and_no_batch_is_larger_than_asked_for(tmp_path, monkeypatch):
    images, fetched, shares = inputs.images, [], []
    monkeypatch.setattr(inputs, "images", lambda data, index, *args: fetched.append(index) or images(data, index, *args))
    whole = outcomes(tmp_path, run(tmp_path, [Loss(max_inputs=31)])[0])["index"]
    assert [len(index) for index in fetched] == [30, 30, 2]  # never all that were chosen
    for rank in range(3):
        fetched.clear()
        with monkeypatch.context() as m:
            m.setattr("robnas.collectives.rank", lambda rank=rank: rank)
            m.setattr("robnas.collectives.world_size", lambda: 3)
            m.setattr("robnas.collectives.gather", lambda value: [value])
            run(tmp_path / str(rank), [Loss(max_inputs=31)])
        assert max(len(index) for index in fetched) <= 10
        shares.append(torch.cat(fetched))
    assert torch.cat(shares).sort().values.tolist() == whole.tolist()
    assert {len(share) for share in shares} == {20, 21}


def test_a_group_that_errored_wholly_leaves_nothing_to_tell_apart(tmp_path):
    class OnlyMembers(Confidence):
        def score(self, victim, s):
            return super().score(victim, s).masked_fill(s.index >= N_TRAIN, torch.nan)

    with pytest.warns(UserWarning, match="on 60 inputs; counted apart"):
        rows = {row.metric: row for row in run(tmp_path, [OnlyMembers(max_inputs=60, non_members="test", fold=True)])}
    assert all(rows[name].value is None and rows[name].ci is None for name in rows if "accuracy" not in name or "balanced" in name)
    assert rows["member_accuracy"].n == 60
    assert (rows["non_member_accuracy"].n, rows["non_member_accuracy"].value) == (0, None)
    assert rows["auc"].errored == 60
    console = Console(width=100, record=True, force_terminal=False)
    summary.show(rows.values(), console)
    assert "60 more inputs errored" in " ".join(console.export_text().split())


def on_two_ranks(rank: int, folder) -> list[float]:
    os.environ |= {"LOCAL_RANK": str(rank), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0"}
    strategy = DDPStrategy(process_group_backend="gloo", cluster_environment=LightningEnvironment())
    return [r.value for r in run(folder, several(), strategy=strategy, devices=2, use_distributed_sampler=False)]


def several():
    return [
        NoiseRobustness(sigmas=[0.2], copies=3, max_inputs=31),
        Loss(max_inputs=31, non_members="test", confidence=[0.5, 0.99]),
        HopSkipJumpDistance(1, 5, 5, max_inputs=9),
    ]


@pytest.mark.slow
def test_two_ranks_equal_one(tmp_path):
    one = run(tmp_path / "one", several())
    (tmp_path / "two").mkdir()
    both = run_on_ranks(on_two_ranks, 2, tmp_path / "two", timeout=300)
    assert both == [[pytest.approx(r.value, abs=1e-12) if r.value is not None else None for r in one]] * 2
    for row, other in zip(one, Rows(tmp_path / "two" / "results.jsonl").read(), strict=True):
        assert (row.metric, row.n, row.queries, row.errored) == (other.metric, other.n, other.queries, other.errored)
        mine, theirs = outcomes(tmp_path / "one", row), outcomes(tmp_path / "two", other)
        for name, values in mine.items():
            assert np.allclose(values, theirs[name], rtol=0, atol=1e-9, equal_nan=True), name


def test_what_is_refused_is_said_once_a_rate():
    few = "refused: {} negatives, {} needed"
    many = [few.format(n, "1,000") for n in ("300", "100", "299")]
    flags = {0.001: [few.format("1,200", "10,000")], 0.01: [*many, "refused: no positives"]}
    assert _refused(flags) == [
        "TPR at 1% FPR refused: 1,000 non-members needed, here are 100 to 300; no positives.",
        "TPR at 0.1% FPR refused: 10,000 non-members needed, here are 1,200.",
    ]
