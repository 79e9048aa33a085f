"""Runs whose weights have seen more than their own members: begun with others' weights, stolen, poisoned, or cut short."""

from pathlib import Path

import numpy as np
import pytest
import yaml
from rich.console import Console

import small_pool
from robnas.attacks import summary
from robnas.attacks.membership import Loss, past, shadows
from robnas.data import membership
from robnas.errors import UserError
from robnas.results import Rows
from robnas.runtime.trainer import Trainer


def edited(folder, change):
    """The run's configuration, changed in its file."""
    config = past.configuration(folder)
    change(config)
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    return folder


def begun(folder, source):
    return edited(folder, lambda config: config["model"]["init_args"].update(init_from=str(source)))


def attack(folder, seed, found=None, task=None):
    trainer = Trainer(default_root_dir=folder, callbacks=[found or Loss(max_inputs=None)], **small_pool.QUIET)
    rows = trainer.attack(task or small_pool.Task(small_pool.network(0)), datamodule=small_pool.data(seed))
    return {row.metric: row for row in rows}


def others(folder, rows):
    outcomes = Rows(folder / "results.jsonl").read_outcomes(rows["auc"])
    return set(outcomes["index"][~outcomes["member"]].tolist()), set(outcomes["index"][outcomes["member"]].tolist())


@pytest.mark.parametrize("named", ["folder", "checkpoint", "from its own working directory"])
def test_what_the_first_weights_were_trained_on_is_no_non_member(tmp_path, named):
    first, second, third = (small_pool.run(tmp_path / "runs", seed) for seed in (1, 2, 3))
    begun(second, first)
    begun(third, {"folder": second, "checkpoint": second / "checkpoints" / "best.ckpt"}.get(named, f"runs/classify/{second.name}"))
    non_members, members = others(third, attack(third, 3))
    seen = membership.read(first).member | membership.read(second).member
    assert members == set(np.flatnonzero(membership.read(third).member))  # also those that all three have seen
    assert non_members == set(np.flatnonzero(membership.read(third).non_member & ~seen))
    assert 0 < len(non_members) < membership.read(third).non_member.sum()


def test_nor_is_it_when_what_was_held_out_is_asked_about(tmp_path):
    first, second = small_pool.run(tmp_path, 1), begun(small_pool.run(tmp_path, 2), small_pool.run(tmp_path, 1))
    membership.write(first, small_pool.Sixty(members=0.5, members_seed=1, seed=7).membership(), 0.5, 1)  # another validation part
    non_members, _ = others(second, attack(second, 2, Loss(max_inputs=None, non_members="validation")))
    assert non_members == set(np.flatnonzero(membership.read(second).validation & ~membership.read(first).member))


@pytest.mark.parametrize("source", ["pretrained.safetensors", "itself", "a longer one"])
def test_where_nobody_knows_what_they_have_seen_only_test_inputs_are_non_members(tmp_path, source):
    folder, longer = small_pool.run(tmp_path, 2), small_pool.run(tmp_path, 3)
    membership.write(longer, membership.status(61, *[small_pool.data().parts()[k] for k in (0, 1)]), 0.5, 3)
    begun(folder, {"itself": folder, "a longer one": longer}.get(source, source))
    non_members, _ = others(folder, attack(folder, 2))
    assert non_members == set(range(60, 80))
    with pytest.raises(UserError, match="or one it began with, was trained on the whole training set"):
        attack(folder, 2, Loss(non_members="train"))


def test_a_run_that_went_on_from_its_own_checkpoint_has_seen_nothing_else(tmp_path, monkeypatch):
    folder = small_pool.run(tmp_path, 2)
    monkeypatch.chdir(tmp_path)
    for own in (folder / "checkpoints" / "last.ckpt", (folder / "checkpoints" / "last.ckpt").relative_to(tmp_path), "last"):
        assert past.began_with({"ckpt_path": str(own)}, folder) is None
    assert past.began_with({"ckpt_path": "elsewhere/last.ckpt"}, folder) == "elsewhere/last.ckpt"
    assert not past.seen_before(folder, 60).any()


def test_neither_is_trained_as_a_shadow_nor_taken_for_one(tmp_path):
    folder = begun(small_pool.run(tmp_path, 2), "runs/classify/first")
    with pytest.raises(UserError, match="went on from runs/classify/first, which has seen its own data"):
        shadows.settings(past.configuration(folder), 0, folder=folder)
    with pytest.raises(UserError, match="went on from runs/classify/first, so it has seen more than its own members"):
        shadows.read([folder], past.configuration(small_pool.run(tmp_path, 3)), 60)


def test_a_stolen_model_has_no_members_of_its_own_data_set(tmp_path):
    folder = small_pool.run(tmp_path, 2)
    (folder / past.ANSWERS).touch()
    with pytest.raises(UserError, match="is a stolen model"):
        attack(folder, 2)
    with pytest.raises(UserError, match="is a stolen model"):
        shadows.read([folder], past.configuration(folder), 60)


def test_a_poisoned_training_is_that_of_its_shadows_too(tmp_path):
    blocks = {"attacks": {"flip": {"class_path": "label_flip", "init_args": {"rate": 0.1}}}, "defences": {"filter": {"class_path": "x"}}}
    folder = edited(small_pool.run(tmp_path, 2), lambda config: config.update(blocks))
    theirs = shadows.settings(past.configuration(folder), 0, folder=folder)
    assert {name: theirs[name] for name in blocks} == blocks


def test_victims_that_differ_in_their_members_alone_share_their_shadows(tmp_path):
    first, second = (past.configuration(small_pool.run(tmp_path, seed)) for seed in (2, 3))
    for config in (first, second):
        config["data"]["init_args"]["seed"] = 7
    second["protocol"] = "paper"
    second["seed_everything"] = 99
    assert [shadows.settings(first, k) for k in range(2)] == [shadows.settings(second, k) for k in range(2)]


def test_what_makes_members_doubtful_is_said_in_rows_and_below_the_table(tmp_path):
    class Poisoned(small_pool.Task):
        attacked, defended = {"flip": {}}, {"filter": {}}

    folder = edited(small_pool.run(tmp_path, 2), lambda config: config["trainer"].update(limit_train_batches=1))
    rows = attack(folder, 2, Loss(confidence=[0.0, 1.0]), Poisoned(small_pool.network(0)))
    words = ["limit_train_batches: not every member was seen", "non-members filtered", "training altered by filter"]
    words.append("training altered by flip")
    assert set(words) <= set(rows["auc"].flags)
    console = Console(width=100, record=True, force_terminal=False)
    summary.show(rows.values(), console)
    text = console.export_text()
    for word in words:
        assert f"loss: {word}." in text
    edited(folder, lambda config: config["trainer"].update(limit_train_batches=1.0))
    assert not set(words) & set(attack(folder, 2)["auc"].flags)


def test_a_folder_without_a_configuration_is_taken_at_its_word(tmp_path):
    folder = small_pool.run(tmp_path, 2)
    (folder / "config.yaml").unlink()
    assert others(folder, attack(folder, 2))[0] == set(np.flatnonzero(membership.read(folder).non_member))
    with pytest.raises(UserError, match="cannot be read"):
        past.configuration(Path(folder))
