"""LiRA by a call and in the test loop: shadows from folders, what is refused, what rows say."""

import copy
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

import small_pool
from robnas import collectives
from robnas.attacks.membership import LiRA, inputs
from robnas.attacks.membership import lira_scores as pure
from robnas.attacks.unfinished import Unfinished
from robnas.data import membership
from robnas.errors import UserError
from robnas.results import Rows
from robnas.runtime.trainer import Trainer

# By a call


@pytest.mark.parametrize("online", [True, False])
def test_a_call_gives_the_scores_of_the_pure_functions(online):
    model, x, y, shadows, member = small_pool.pool()
    with torch.no_grad():
        phi = torch.stack([pure.confidence(m(x), y) for m in (model, *shadows)])
    inside, outside = pure.fit(phi[1:], member), pure.fit(phi[1:], ~member)
    expected = pure.online(phi[0], inside, outside) if online else pure.offline(phi[0], outside)
    r = LiRA(online=online)(model, x, y, shadows=shadows, shadow_members=member)
    torch.testing.assert_close(r.score, expected, equal_nan=True, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(r.kept["phi"], phi[0], rtol=1e-9, atol=1e-9)
    assert torch.equal(r.kept["n_in"] + r.kept["n_out"], torch.full((60,), 10))


@pytest.mark.parametrize("batch_size", [1, 16])
def test_neither_batches_nor_the_order_of_shadows_matter(batch_size):
    model, x, y, shadows, member = small_pool.pool()
    whole = LiRA()(model, x, y, shadows=shadows, shadow_members=member)
    parts = LiRA()(model, x, y, batch_size=batch_size, shadows=iter(shadows[::-1]), shadow_members=member.flip(0))
    torch.testing.assert_close(
        whole.score, parts.score, equal_nan=True, rtol=1e-12, atol=1e-12
    )  # a convolution of one image adds in another order


def test_the_victim_is_asked_once_and_left_as_it_was():
    model, x, y, shadows, member = small_pool.pool()
    model.train()
    before = copy.deepcopy(model.state_dict())
    assert (LiRA()(model, x, y, shadows=shadows, shadow_members=member).queries == 1).all()
    assert model.training
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())


def test_the_victim_among_the_shadows_is_left_out():
    model, x, y, shadows, member = small_pool.pool()
    without = LiRA()(model, x, y, shadows=shadows, shadow_members=member)
    among = [*shadows[:3], copy.deepcopy(model), *shadows[3:]]
    rows = torch.cat([member[:3], torch.ones(1, 60, dtype=torch.bool), member[3:]])
    assert torch.equal(LiRA()(model, x, y, shadows=among, shadow_members=rows).score.nan_to_num(99), without.score.nan_to_num(99))


def test_an_input_that_too_few_shadows_were_trained_without_errored():
    model, x, y, shadows, member = small_pool.pool()
    member = (torch.arange(60) + torch.arange(10)[:, None]) % 2 == 0
    member[:9, 7] = True
    r = LiRA()(model, x, y, member=member[0], shadows=shadows, shadow_members=member)
    assert r.errored.nonzero().tolist() == [[7]]
    assert r.score.isnan().nonzero().tolist() == [[7]]
    assert r.auc().value == pytest.approx(roc_auc_score(member[0][~r.errored], r.score[~r.errored]))


def test_without_labels_they_are_the_models_own():
    model, x, _, shadows, member = small_pool.pool()
    with torch.no_grad():
        own = model(x).argmax(1)
    given, absent = (LiRA()(model, x, y, shadows=shadows, shadow_members=member) for y in (own, None))
    assert torch.equal(given.score.nan_to_num(99), absent.score.nan_to_num(99))


def test_what_a_call_needs_is_said():
    model, x, y, shadows, member = small_pool.pool()
    with pytest.raises(UserError, match="shadows, shadow_members"):
        LiRA()(model, x, y)
    with pytest.raises(UserError, match=r"shadow_members: \[9, 60\] for 10 shadows and 60 inputs"):
        LiRA()(model, x, y, shadows=shadows, shadow_members=member[:9])
    with pytest.raises(UserError, match=r"shadow_members: \[10, 30\]"):
        LiRA()(model, x, y, shadows=shadows, shadow_members=member[:, :30])
    with pytest.raises(UserError, match="none beside the victim"):
        LiRA()(model, x, y, shadows=[model], shadow_members=member[:1])


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"n_shadows": 3}, "n_shadows: 3 is less than 4"),
        ({"n_shadows": 1, "online": False}, "n_shadows: 1 is less than 2"),
        ({"variance": "own"}, "unknown variance 'own'"),
        ({"share": 1.0}, "share: 1.0"),
        ({"workers": 0}, "workers: 0"),
    ],
)
def test_wrong_arguments_are_named(arguments, says):
    with pytest.raises(UserError, match=says):
        LiRA(**arguments)


# In the test loop


def attack(folder, lira, monkeypatch, members=0.5):
    loaded = []

    def load(source):
        loaded.append(Path(source))
        return small_pool.network(small_pool.seed_of(Path(source)))

    monkeypatch.setattr(Trainer, "load", staticmethod(load))
    trainer = Trainer(default_root_dir=folder, callbacks=[lira], **small_pool.QUIET)
    trainer.config = {"data": {"class_path": "small_pool.Sixty", "init_args": {}}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # errored inputs are counted below
        rows = trainer.attack(small_pool.Task(small_pool.network(0)), datamodule=small_pool.data(0, members))
    return {row.metric: row for row in rows}, loaded


@pytest.fixture
def victim(tmp_path):
    """Ten finished runs beside it, and one that is not."""
    folders = [small_pool.run(tmp_path, seed) for seed in range(11)]
    small_pool.run(tmp_path, 20, finished=False)
    return folders[0]


def test_a_folder_of_trainings_is_a_pool(victim, monkeypatch):
    rows, loaded = attack(victim, LiRA(shadows=str(victim.parent), max_inputs=None), monkeypatch)
    assert sorted(map(small_pool.seed_of, loaded)) == list(range(1, 11))  # neither the victim nor what is unfinished
    model, x, y, shadows, member = small_pool.pool()
    truth = membership.read(victim)
    asked = torch.from_numpy(truth.member | truth.non_member)
    r = LiRA()(model, x[asked], y[asked], member=torch.from_numpy(truth.member)[asked], shadows=shadows, shadow_members=member[:, asked])
    row = rows["auc"]
    assert row.value == pytest.approx(r.auc().value)
    assert (row.plugin, row.access, row.queries, row.errored) == ("lira", "score", int(asked.sum()), int(r.errored.sum()))
    assert 0 < row.n == int((~r.errored).sum()) < row.queries
    outcomes = Rows(victim / "results.jsonl").read_outcomes(row)
    np.testing.assert_allclose(outcomes["score"], r.score, rtol=1e-9, atol=1e-9)
    np.testing.assert_array_equal(outcomes["n_in"], r.kept["n_in"])


def test_rows_name_the_shadows_by_their_weights_and_not_by_their_place(victim, tmp_path, monkeypatch):
    rows, _ = attack(victim, LiRA(shadows=str(victim.parent)), monkeypatch)
    params = rows["auc"].params
    assert params["n_shadows"] == 10
    assert len(params["shadows"]) == 12
    assert not {"workers"} & set(params)
    again, _ = attack(victim, LiRA(shadows=[str(victim.parent / "latest" / ".."), str(victim.parent)], workers=1), monkeypatch)
    assert again["auc"].key == rows["auc"].key
    fewer, _ = attack(victim, LiRA(shadows=[str(small_pool.run(tmp_path, seed)) for seed in range(1, 8)]), monkeypatch)
    assert fewer["auc"].params["n_shadows"] == 7
    assert fewer["auc"].key != rows["auc"].key
    assert len([r for r in Rows(victim / "results.jsonl").read() if r.metric == "auc"]) == 2


def test_the_victims_weights_in_another_folder_are_no_shadow(victim, tmp_path, monkeypatch):
    small_pool.run(tmp_path, 0, members=0.4)
    rows, loaded = attack(victim, LiRA(shadows=str(victim.parent)), monkeypatch)
    assert 0 in map(small_pool.seed_of, loaded)
    assert rows["auc"].params["n_shadows"] == 10


def test_no_model_is_loaded_twice_or_kept(victim, monkeypatch):
    lira = LiRA(shadows=str(victim.parent))
    _, loaded = attack(victim, lira, monkeypatch)
    assert len(set(loaded)) == len(loaded) == 10
    assert not [v for v in vars(lira).values() if isinstance(v, torch.nn.Module)]


def test_each_rank_asks_shadows_of_its_own_a_batch_at_a_time(victim, monkeypatch):
    whole, _ = attack(victim, LiRA(shadows=str(victim.parent), max_inputs=None), monkeypatch)
    parts, shares, fetched, images = [], [], [], inputs.images
    monkeypatch.setattr(inputs, "images", lambda data, index, *args: fetched.append(len(index)) or images(data, index, *args))
    monkeypatch.setattr(collectives, "world_size", lambda: 2)
    monkeypatch.setattr(collectives, "from_first", lambda make: make())
    monkeypatch.setattr(collectives, "gather", lambda value: parts.append(value) or [value])
    for rank in range(2):
        monkeypatch.setattr(collectives, "rank", lambda rank=rank: rank)
        shares.append(attack(victim, LiRA(shadows=str(victim.parent), max_inputs=None), monkeypatch)[1])
    assert [len(share) for share in shares] == [5, 5]
    assert not set(shares[0]) & set(shares[1])
    assert max(fetched) <= 16
    told = [part for part in parts if isinstance(part, dict)]
    monkeypatch.setattr(collectives, "gather", lambda value: told if isinstance(value, dict) else [value])
    together, _ = attack(victim, LiRA(shadows=str(victim.parent), max_inputs=None), monkeypatch)
    assert together["auc"].params == whole["auc"].params


def test_scores_of_a_killed_command_are_not_taken_for_those_of_other_shadows(victim, tmp_path, monkeypatch):
    class Killed(LiRA):
        calls, worth = 0, 2

        def score(self, victim, s):
            type(self).calls += 1
            if self.calls > self.worth:
                raise RuntimeError("the machine goes down")
            return super().score(victim, s)

    monkeypatch.setattr(Unfinished, "worth", 0.0)
    with pytest.raises(RuntimeError, match="goes down"):
        attack(victim, Killed(shadows=str(victim.parent), max_inputs=None), monkeypatch)
    Killed.calls, Killed.worth = 0, 99
    few = [str(small_pool.run(tmp_path, seed)) for seed in range(1, 9)]
    other, _ = attack(victim, Killed(shadows=few, max_inputs=None), monkeypatch)
    assert Killed.calls == 4  # all batches of 54 inputs
    again, _ = attack(victim, Killed(shadows=str(victim.parent), max_inputs=None), monkeypatch)
    assert Killed.calls == 6  # of these two were kept
    assert again["auc"].params["shadows"] != other["auc"].params["shadows"]


def test_online_needs_shadows_that_have_seen_non_members(victim, tmp_path, monkeypatch):
    whole = small_pool.run(tmp_path, 0, experiment="whole", members=1.0)
    with pytest.raises(UserError, match=r"no non-member has 2 of 10 shadows that were trained with it.*members=0.5, or online: false"):
        attack(whole, LiRA(shadows=str(victim.parent)), monkeypatch, members=1.0)
    rows, _ = attack(whole, LiRA(shadows=str(victim.parent), online=False), monkeypatch, members=1.0)
    counted = Rows(whole / "results.jsonl").read_outcomes(rows["auc"])
    assert not counted["errored"][counted["index"] >= 60].any()
    assert (counted["n_in"][counted["index"] >= 60] == 0).all()


@pytest.mark.parametrize(
    ("shadows", "says"),
    [
        (lambda root: root / "nowhere", "nowhere is neither a run folder nor"),
        (lambda root: small_pool.run(root, 30, finished=False), "is unfinished"),
        (lambda root: small_pool.run(root, 31, experiment="one").parent, "there are 1 beside the victim; 4 are the least"),
        (
            lambda root: small_pool.run(root, 32, experiment="other", content="tall").parent,
            "trained on Sixty content=tall, the victim on Sixty",
        ),
    ],
)
def test_pools_that_do_not_fit_are_refused(victim, tmp_path, monkeypatch, shadows, says):
    with pytest.raises(UserError, match=says):
        attack(victim, LiRA(shadows=str(shadows(tmp_path))), monkeypatch)


def test_a_training_out_of_another_number_of_inputs_is_refused(victim, monkeypatch):
    other = next(f for f in victim.parent.iterdir() if not f.is_symlink() and f != victim and small_pool.seed_of(f) == 3)
    membership.write(other, torch.ones(61, dtype=torch.uint8), 0.5, 3)
    with pytest.raises(UserError, match="out of 61 inputs, the victim out of 60"):
        attack(victim, LiRA(shadows=str(victim.parent)), monkeypatch)
