"""Shadows that are trained on demand: as which jobs, with which settings, and what becomes of those that fail."""

import warnings
from pathlib import Path

import pytest
import torch
import yaml

import small_pool
from robnas.attacks.membership import LiRA, shadows
from robnas.data import membership
from robnas.errors import UserError
from robnas.results import Rows
from robnas.runtime.children import Children
from robnas.runtime.trainer import Trainer


def test_a_shadow_is_trained_as_the_victim_but_on_members_of_its_own(tmp_path):
    folder = small_pool.run(tmp_path, 5, members=0.3)
    victim = shadows.configuration(folder)
    first, second = (shadows.settings(victim, k, folder=folder) for k in (0, 1))
    assert first["experiment"] == "classify-shadows"
    assert first["runs"] == str(tmp_path)
    assert first["model"] == victim["model"]
    assert first["trainer"] == {"max_epochs": 2, "gradient_clip_val": 5.0, "devices": 1}
    given, theirs = victim["data"]["init_args"], first["data"]["init_args"]
    assert {k: v for k, v in theirs.items() if given[k] != v} == {"seed": 5, "members_seed": first["seed_everything"]}
    assert theirs["members"] == 0.3
    assert "scale" not in first  # it is in every argument already
    differ = {k for k in first if first[k] != second[k]}
    assert differ == {"seed_everything", "data"}
    assert second["data"]["init_args"]["members_seed"] == second["seed_everything"] != first["seed_everything"]


def test_the_split_is_the_victims_and_the_members_are_not():
    ours = small_pool.data(3)
    theirs = [small_pool.Sixty(members=0.5, members_seed=k, seed=ours.seed) for k in range(30)]
    assert all(torch.equal(data.parts()[1], ours.parts()[1]) for data in theirs)
    times = sum((data.membership() == membership.MEMBER).long() for data in theirs)
    pool = ours.membership() != membership.VALIDATION
    assert (times[~pool] == 0).all()
    assert times[pool].float().mean() == 15
    assert 2 < times[pool].min() < times[pool].max() < 28


def test_a_victim_of_the_whole_training_set_has_shadows_of_half(tmp_path):
    folder = small_pool.run(tmp_path, 0, members=1.0)
    victim = shadows.configuration(folder)
    assert shadows.settings(victim, 0)["data"]["init_args"]["members"] == 0.5
    assert shadows.settings(victim, 0, share=0.2)["data"]["init_args"]["members"] == 0.2


def test_the_cell_that_a_run_keeps_is_that_of_its_shadows(tmp_path):
    folder = small_pool.run(tmp_path, 0)
    (folder / "genotype.yaml").write_text("normal: …")
    network = shadows.settings(shadows.configuration(folder), 0, folder=folder)["model"]["init_args"]["network"]
    assert network == str(folder / "genotype.yaml")


def test_a_victim_that_began_with_weights_from_elsewhere_has_no_shadows(tmp_path):
    victim = shadows.configuration(small_pool.run(tmp_path, 0)) | {"ckpt_path": "elsewhere/last.ckpt"}
    with pytest.raises(UserError, match=r"went on from elsewhere/last.ckpt.*shadows: FOLDER"):
        shadows.settings(victim, 0)


class Trains(Children):
    """Makes the folder of the run that a command would train; `fails`: of which shadows it does not."""

    def __init__(self, root, fails=()):
        super().__init__()
        self.root, self.fails, self.asked = root, fails, []

    def __call__(self, commands, workers=None):
        self.asked.append((list(commands), workers))
        return [None if k in self.fails else small_pool.run(self.root, k + 1, experiment="some") for k in range(len(commands))]


def attack(folder, lira, jobs, monkeypatch):
    monkeypatch.setattr(Trainer, "load", staticmethod(lambda source: small_pool.network(small_pool.seed_of(Path(source)))))
    trainer = Trainer(default_root_dir=folder, callbacks=[lira, jobs], **small_pool.QUIET)
    trainer.config = shadows.configuration(folder)
    rows = trainer.attack(small_pool.Task(small_pool.network(0)), datamodule=small_pool.data())
    return {row.metric: row for row in rows}


def test_on_demand_each_shadow_is_one_command(tmp_path, monkeypatch):
    folder, jobs = small_pool.run(tmp_path, 0), Trains(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        rows = attack(folder, LiRA(n_shadows=8, workers=2), jobs, monkeypatch)
    ((commands, workers),) = jobs.asked
    assert workers == 2
    assert [command[:2] for command in commands] == [["fit", "--config"]] * 8
    configs = [yaml.safe_load(Path(command[2]).read_text()) for command in commands]
    assert configs == [shadows.settings(shadows.configuration(folder), k, folder=folder) for k in range(8)]
    assert len({config["seed_everything"] for config in configs}) == 8
    assert rows["auc"].params["n_shadows"] == 8
    assert rows["auc"].flags == []


def test_shadows_that_failed_are_said_and_the_others_count(tmp_path, monkeypatch):
    folder = small_pool.run(tmp_path, 0)
    with pytest.warns(UserWarning, match="shadows") as said:
        rows = attack(folder, LiRA(n_shadows=8), Trains(tmp_path, fails=(0, 5)), monkeypatch)
    assert [w for w in said if "2 of 8 shadows could not be trained" in str(w.message)]
    assert rows["auc"].params["n_shadows"] == 6
    assert "2 shadows failed" in rows["auc"].flags


def test_where_all_fail_there_is_a_line(tmp_path, monkeypatch):
    folder = small_pool.run(tmp_path, 0)
    with pytest.raises(UserError, match=r"none of 8 shadows could be trained.*children"):
        attack(folder, LiRA(n_shadows=8), Trains(tmp_path, fails=range(8)), monkeypatch)
    assert not Rows(folder / "results.jsonl").read()


def test_nobody_knows_how_to_train_a_shadow_of_what_is_no_run(tmp_path, monkeypatch):
    folder = small_pool.run(tmp_path, 0)
    (folder / "membership.npz").unlink()
    with pytest.raises(UserError, match=r"n_shadows.*is no run of `robnas fit`.*shadows: FOLDER"):
        attack(folder, LiRA(n_shadows=8, members="data"), Trains(tmp_path), monkeypatch)
