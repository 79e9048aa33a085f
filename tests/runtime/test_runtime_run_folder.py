"""From a configuration to a run folder: new, gone on with, refused, finished."""

import os
from copy import deepcopy
from types import SimpleNamespace

import pytest
import torch
import yaml

from robnas import jobs, locks
from robnas.errors import UserError
from robnas.models.build import describe
from robnas.runtime import evaluated_config, run_folder
from robnas.runtime.checkpoint_io import AtomicCheckpointIO
from robnas.runtime.run_folder import existing, prepare
from robnas.space import published


@pytest.fixture
def config(tmp_path):
    return {
        "seed_everything": 7,
        "experiment": "classify",
        "runs": str(tmp_path / "runs"),
        "model": {"class_path": "robnas.tasks.Classifier", "init_args": {"network": "darts"}},
        "data": {"class_path": "robnas.data.Digits", "init_args": {"batch_size": 64}},
        "trainer": {"max_epochs": 3, "devices": "auto"},
        "protocol": "sound",
        "wandb": "off",
    }


@pytest.fixture(autouse=True)
def nobody_holds_a_lock():
    yield
    locks.release_all()


def checkpoint(run, name="last.ckpt"):
    path = run.folder / "checkpoints" / name
    AtomicCheckpointIO().save_checkpoint({"state_dict": {"w": torch.ones(3)}}, path)
    return path


def test_a_new_run_has_its_configuration_its_note_and_its_loggers(config, tmp_path):
    run = prepare(config, argv=["fit", "--config", "x.yaml"])
    assert run.folder.parent == tmp_path / "runs" / "classify"
    assert (run.ckpt_path, run.finished) == (None, False)
    assert yaml.safe_load((run.folder / "config.yaml").read_text()) == config
    assert run.job.facts["command"] == ["robnas", "fit", "--config", "x.yaml"]
    assert run.job.facts["state"] == "unfinished"
    assert [type(logger).__name__ for logger in run.loggers()] == ["CSV"]
    latest = tmp_path / "runs" / "classify" / "latest"
    assert not latest.is_symlink()
    checkpoint(run)
    prepare(config | {"ckpt_path": "last"})
    assert latest.resolve() == run.folder


def test_rows_of_a_run_know_where_they_come_from(config):
    class Data:
        name = "digits"

    kept = prepare(config, data=Data()).provenance
    expected = {"dataset": "digits", "model": "darts", "search_seed": None, "train_seed": 7, "protocol": "sound"}
    assert {k: kept[k] for k in expected} == expected
    assert len(kept["job"]) == 12
    assert kept["versions"]["torch"] == torch.__version__.partition("+")[0]


def test_the_images_are_part_of_the_job(config):
    class Data:
        def __init__(self, which):
            self.which = which

        def fingerprint(self):
            return self.which

    assert prepare(config, data=Data("a")).job != prepare(config, data=Data("b")).job


def test_the_folder_of_data_that_do_not_say_what_they_are_is_part_of_the_job(config):
    a, b = deepcopy(config), deepcopy(config)
    a["data"]["init_args"]["root"], b["data"]["init_args"]["root"] = "a", "b"
    assert run_folder.identity(a, object()) != run_folder.identity(b, object())

    class Data:
        def fingerprint(self):
            return "the same"

    assert run_folder.identity(a, Data()) == run_folder.identity(b, Data())


def test_a_network_counts_by_its_content_whatever_it_is_called(config, tmp_path):
    def of(network):
        called = deepcopy(config)
        called["model"]["init_args"]["network"] = network
        return run_folder.identity(called, model=SimpleNamespace(description=describe(network)))

    before = of("darts")
    (tmp_path / "cell").write_text(published.find("darts").to_yaml())
    assert of("DARTS") == of(str(tmp_path / "cell")) == before
    (tmp_path / "cell").write_text(published.find("enas").to_yaml())
    assert of(str(tmp_path / "cell")) == of("enas") != before


def test_a_finished_run_has_nothing_to_do(config, capsys):
    run = prepare(config)
    run.finish()
    for ckpt_path in (None, "last"):
        again = prepare(config | {"ckpt_path": ckpt_path})
        assert again.finished
        assert capsys.readouterr().out == f"finished already: {run.folder} (--overwrite starts anew)\n"
    assert run.job.state() == "finished"


def test_a_run_that_another_process_ended_while_this_one_waited_has_nothing_to_do(config, monkeypatch):
    run, acquire = prepare(config), jobs.Job.acquire
    run.release()
    monkeypatch.setattr(jobs.Job, "acquire", lambda job: (acquire(job), job.mark_finished()))
    assert prepare(config).finished
    assert not locks._held


def test_an_unfinished_run_is_not_lost_by_accident(config):
    run = prepare(config)
    path = checkpoint(run)
    with pytest.raises(UserError, match=r"is unfinished: --ckpt_path last goes on, --overwrite starts anew$"):
        prepare(config)
    assert prepare(config | {"ckpt_path": "last"}).ckpt_path == str(path)
    assert path.is_file()
    anew = prepare(config | {"overwrite": True})
    assert anew.ckpt_path is None
    assert not path.exists()


def test_a_run_that_ended_before_its_first_checkpoint_has_nothing_to_lose(config):
    run = prepare(config)
    (run.folder / "metrics.csv").write_text("step\n1\n")
    assert prepare(config).ckpt_path is None
    assert not (run.folder / "metrics.csv").exists()


def test_going_on_before_the_first_checkpoint_starts_from_the_beginning_and_says_so(config, capsys):
    assert prepare(config | {"ckpt_path": "last"}).ckpt_path is None
    assert capsys.readouterr().out == "no checkpoint yet: starting from the beginning\n"


def test_a_checkpoint_cut_in_half_is_refused_by_name_and_the_one_before_serves(config, capsys):
    run = prepare(config)
    last, previous = checkpoint(run), checkpoint(run, "previous.ckpt")
    os.truncate(last, last.stat().st_size // 2)
    assert prepare(config | {"ckpt_path": "last"}).ckpt_path == str(previous)
    assert str(last) in capsys.readouterr().out
    os.truncate(previous, 10)
    with pytest.raises(UserError, match="can be read: --overwrite starts anew"):
        prepare(config | {"ckpt_path": "last"})


def test_a_checkpoint_that_is_not_there(config):
    with pytest.raises(UserError, match=r"ckpt_path: there is no checkpoint no\.ckpt"):
        prepare(config | {"ckpt_path": "no.ckpt"})


def test_other_devices_find_the_same_folder_and_config_yaml_says_what_runs_now(config):
    run = prepare(config)
    checkpoint(run)
    other = deepcopy(config) | {"ckpt_path": "last"}
    other["trainer"]["devices"] = 2
    assert prepare(other).folder == run.folder
    assert yaml.safe_load((run.folder / "config.yaml").read_text())["trainer"]["devices"] == 2


def test_another_rank_finds_what_the_first_made_and_writes_nothing(config, monkeypatch):
    first = prepare(config)
    checkpoint(first)
    before = {p: p.stat().st_mtime_ns for p in first.folder.rglob("*")}
    monkeypatch.setenv("LOCAL_RANK", "1")
    for change in ({}, {"ckpt_path": "last"}, {"overwrite": True}):
        other = prepare(config | change)
        assert other.folder == first.folder
        assert bool(other.ckpt_path) == (change == {"ckpt_path": "last"})
        other.finish()
    assert {p: p.stat().st_mtime_ns for p in first.folder.rglob("*")} == before


def test_a_checkpoint_from_elsewhere_makes_another_job_and_the_own_does_not(config, tmp_path):
    run = prepare(config)
    own = checkpoint(run)
    assert prepare(config | {"ckpt_path": str(own)}).job == run.job
    jobs_of = set()
    for content in (b"a", b"b"):
        (tmp_path / "other.ckpt").write_bytes(content)
        jobs_of.add(prepare(config | {"ckpt_path": str(tmp_path / "other.ckpt")}).job)
    assert len(jobs_of | {run.job}) == 3


def test_starting_anew_does_not_remove_what_it_starts_from(config):
    own = checkpoint(prepare(config))
    with pytest.raises(UserError, match=r"--overwrite would remove .*last\.ckpt"):
        prepare(config | {"ckpt_path": str(own), "overwrite": True})
    assert own.is_file()


def test_latest_is_pinned_in_what_is_kept(config, tmp_path):
    search = jobs.Job("c" * 40, "darts_iii", tmp_path / "runs")
    search.start()
    search.mark_finished()
    config["model"]["init_args"]["network"] = str(tmp_path / "runs" / "darts_iii" / "latest")
    run = prepare(config)
    kept = yaml.safe_load((run.folder / "config.yaml").read_text())
    assert kept["model"]["init_args"]["network"] == str(search.folder)
    assert list(run.job.facts["upstream"].values()) == ["c" * 40]


def test_a_run_to_evaluate(config, tmp_path, monkeypatch):
    run = prepare(config)
    with pytest.raises(UserError, match="has no last checkpoint: it is unfinished"):
        existing(run.folder)
    last, best = checkpoint(run), checkpoint(run, "best.ckpt")
    run.finish()
    found = existing(run.folder.parent / "latest")
    assert (found.job, found.config, found.ckpt_path) == (run.job, config, str(last.resolve()))
    assert existing(run.folder, "best").ckpt_path == str(best)
    assert [logger.path.name for r in (run, found) for logger in r.loggers()] == ["metrics.csv", "evaluation.csv"]
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"runs/classify/nothing is no run folder; did you mean runs/classify/latest"):
        existing("runs/classify/nothing")


def test_what_fails_lets_go_of_the_folder(config, monkeypatch):
    monkeypatch.setattr(run_folder.atomic, "write", lambda *a: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        prepare(config)
    assert not locks._held


def test_going_on_from_latest_with_another_flag_still_finds_the_file(config, tmp_path):
    """`latest` is the new job from then on, which has no such file yet."""
    first = prepare(config)
    file = checkpoint(first)
    first.finish()
    wanted = tmp_path / "runs" / "classify" / "latest" / "checkpoints" / "last.ckpt"
    again = prepare(deepcopy(config) | {"ckpt_path": str(wanted), "seed_everything": 8})
    assert again.folder != first.folder
    assert again.ckpt_path == str(file.resolve())
    assert wanted.parents[1].resolve() == again.folder.resolve()


def test_a_wrong_run_folder_is_told_the_nearest(config, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = prepare(config | {"runs": "runs"})
    for given, meant in (
        (run.folder.with_name(run.job.name[:-1] + "x"), run.folder),
        ("runs/clasify/" + run.job.name, run.folder),
        ("runs/classify", run.folder),
        ("runs/elsewhere/else", None),
    ):
        with pytest.raises(UserError) as error:
            existing(given)
        assert str(error.value) == f"{given} is no run folder{f'; did you mean {meant}?' if meant else ''} (robnas list runs)"
    checkpoint(run)
    run.finish()
    for given in ("runs/clasify/latest", "runs/classify", "runs/classify/lates"):
        with pytest.raises(UserError, match=r"did you mean runs/classify/latest\?"):
            existing(given)


def test_a_word_of_a_run_stays_a_name_though_a_folder_is_called_so(tmp_path, monkeypatch):
    home, elsewhere = tmp_path / "home", tmp_path / "elsewhere"
    for folder in (home / "resnet", home / "images", home / "cells", elsewhere):
        folder.mkdir(parents=True)
    (home / "cells" / "mine").touch()
    (home / "cell.yaml").touch()
    monkeypatch.chdir(elsewhere)

    def anchored(value, key="network"):
        return evaluated_config._anchored({key: value}, home)[key]

    assert anchored("resnet") == "resnet"
    assert anchored("cells/mine") == str(home / "cells" / "mine")
    assert anchored("cell.yaml") == str(home / "cell.yaml")
    assert anchored("images", "root") == str(home / "images")
