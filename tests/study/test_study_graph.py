"""From a study to commands: each one that a user could type, after what it needs."""

import re
from pathlib import Path

import pytest
from test_study_file import study

from robnas.configuration import files, flags
from robnas.configuration.reading import read_value
from robnas.space import published
from robnas.study import cells, file, flag_words, graph, layers
from robnas.study.plan import Plan


def plan(read=None, folder=Path("runs/some")):
    return graph.plan(read or study(), "some.yaml", folder, "2024-01-01")


def by_id(read=None):
    return {job.id: job for job in plan(read).jobs}


def test_each_job_comes_after_what_it_needs_and_a_seed_after_the_one_before():
    jobs = plan().jobs
    seen = set()
    for job in jobs:
        assert set(job.needs) <= seen
        seen.add(job.id)
    assert len(seen) == len(jobs)
    seeds = [job.seed for job in jobs if job.kind != "search"]
    assert seeds == sorted(seeds)


def test_a_training_is_the_command_that_a_user_would_type():
    job = by_id()["train/resnet/1/clean"]
    assert " ".join(job.argv) == (
        "fit --config classify.yaml --config digits.yaml --seed_everything=1 --protocol=sound --runs=runs/some --wandb=off "
        "--model.network=resnet --trainer.max_epochs=2"
    )
    assert (job.kind, job.model, job.family, job.dataset, job.seed, job.protocol) == ("train", "resnet", "manual", "digits", 1, "sound")
    assert job.reduced


def test_a_searched_cell_is_a_network_for_each_seed_of_the_search():
    jobs = by_id()
    for seed in (0, 1):
        job = jobs[f"train/own-{seed}/0/clean"]
        assert job.needs == [f"search/found/{seed}"]
        assert f"--model.network={{search/found/{seed}}}" in job.argv
        assert (job.model, job.family) == ("own", "nas")
    assert "--trainer.max_epochs=2" not in jobs["search/found/0"].argv  # flags of the study are of trainings


def test_an_evaluation_names_the_run_and_keeps_its_data():
    job = by_id()["attack/darts/0/pgd"]
    assert " ".join(job.argv) == "attack {train/darts/0/clean} --config pgd.yaml --protocol=sound --wandb=off --scale=tiny"
    assert (job.needs, job.what) == (["train/darts/0/clean"], "pgd")


def test_an_attack_that_varies_is_a_job_for_each_value():
    jobs = by_id()
    assert {id for id in jobs if "label_flip" in id and "darts" in id} == {f"attack/darts/1/label_flip/rate={rate}" for rate in (0.2, 0.4)}
    assert "--attacks.label_flip.rate=0.4" in jobs["attack/darts/1/label_flip/rate=0.4"].argv
    assert jobs["attack/own-1/1/label_flip/rate=0.4"].needs == ["search/found/1"]  # trains its own twin: no run of ours


def test_the_clean_run_and_its_network_stand_where_the_file_says_so():
    steal = {"config": "knockoff.yaml", "shift_seed": 100, "flags": {"attacks.knockoff.victim": "{run}"}}
    across = steal | {"vary": {"model.network": ["{model}", "vgg"]}}
    jobs = by_id(study(attacks={"steal": steal, "across": across, "trojan": {"config": "trojannn.yaml", "flags": {"init_from": "{run}"}}}))
    thief = jobs["attack/resnet/0/steal"]
    assert {"--attacks.knockoff.victim={train/resnet/0/clean}", "--model.network=resnet", "--seed_everything=100", "--scale=tiny"} <= {
        *thief.argv
    }
    assert "digits.yaml" not in thief.argv  # its data are the victim's, members and all
    assert "--model.network=vgg" in jobs["attack/darts/0/across/network=vgg"].argv
    own = jobs["attack/darts/0/steal"]  # a replica of the victim's own architecture is the same command
    assert ("--model.network=darts" in own.argv, own.also) == (True, ["attack/darts/0/across/network=model"])
    trojan = jobs["attack/own-0/0/trojan"]
    assert "--init_from={train/own-0/0/clean}" in trojan.argv
    assert not any(word.startswith("--model.network") for word in trojan.argv)


def test_together_is_one_job_for_all_models_of_a_seed():
    jobs = by_id(study(attacks={"common": {"config": "pgd/common.yaml", "together": True, "models": ["darts", "resnet"]}}))
    assert jobs["attack/all/1/common"].needs == ["train/darts/1/clean", "train/resnet/1/clean"]
    assert jobs["attack/all/1/common"].argv[1:3] == ["{train/darts/1/clean}", "{train/resnet/1/clean}"]


def test_another_data_set_keeps_what_the_config_says_of_its_own():
    assert layers.data_flags("cifar100", ["classify.yaml"]) == {"data": "cifar100", "data.batch_size": 96, "data.validation": 0.1}
    assert layers.data_flags("cifar10", ["classify.yaml"]) == layers.data_flags("cifar100", ["trojannn.yaml"]) == {}
    read = study(data=["cifar10", "cifar100"], overlays=[], searches={}, models=["darts"], probes={}, flags={})
    jobs = by_id(read)
    assert "--data=cifar100" in jobs["train/darts/0/clean/cifar100"].argv
    assert not jobs["train/darts/0/clean/cifar100"].reduced
    assert jobs["attack/darts/0/pgd/cifar100"].needs == ["train/darts/0/clean/cifar100"]


def test_seeds_and_configs_of_each_protocol():
    trainings = {"clean": {"config": "classify.yaml", "seeds": {"sound": [0], "artifact": [1228]}}}
    read = study(
        protocols=["sound", "artifact"], searches={}, models=["darts"], probes={}, trainings=trainings, attacks={"pgd": "pgd.yaml"}
    )
    jobs = by_id(read)
    assert set(jobs) == {
        f"{kind}/artifact" if "1228" in kind else f"{kind}/sound"
        for s in (0, 1228)
        for kind in (f"train/darts/{s}/clean", f"attack/darts/{s}/pgd")
    }
    assert {"pgd/artifact.yaml", "--protocol=artifact"} <= {*jobs["attack/darts/1228/pgd/artifact"].argv}


def test_a_changed_cell_is_written_for_the_commands(tmp_path):
    models = {"deep": {"cell": "darts", "deepen": True, "replace": {"skip_connect": "sep_conv_3x3"}}}
    read = study(models=models, probes={}, searches={})
    cells.write(read, tmp_path)
    cell = published.find(str(tmp_path / "cells" / "deep.yaml")).cells["normal"]
    assert (cell.skips, cell.depth > published.find("darts").cells["normal"].depth) == (0, True)
    assert f"--model.network={tmp_path / 'cells' / 'deep.yaml'}" in plan(read, tmp_path).jobs[0].argv


@pytest.mark.parametrize("value", [True, None, 3, 0.5, "8/255", ["1/255", 1.0], {"skip": [1, 2]}])
def test_a_flag_is_read_as_it_was_meant(value):
    assert read_value(flag_words.text(value)) == value


def test_a_plan_is_read_as_it_was_written(tmp_path):
    written = plan()
    written.write(tmp_path)
    assert Plan.read(tmp_path) == written
    assert Plan.read(tmp_path / "nowhere") is None


@pytest.mark.parametrize("name", sorted(files.studies()))
def test_commands_of_shipped_studies_name_what_there_is(name):
    jobs = graph.plan(file.read(file.find(name)), name, Path("runs/x"), "").jobs
    ids, known = {job.id for job in jobs}, {*files.shipped()}
    for job in jobs:
        asked = flags.parse(job.argv[1:])
        assert {*asked.configs} <= known
        assert {*re.findall(r"\{([^{} ]+)\}", " ".join(job.argv))} == {*job.needs} <= ids


def test_the_papers_study_has_every_exhibit():
    jobs = graph.plan(file.read(file.find("paper")), "paper", Path("runs/x"), "").jobs
    shown = {exhibit for job in jobs for exhibit in job.exhibits}
    assert shown >= {f"Fig. {n}" for n in (*range(2, 13), *range(14, 19))} | {f"Table {n}" for n in (1, 2, 3, 4, 6)}
    assert shown >= {"§2.1", "§3.1", "§4.1", "§5.2", "Theorem 1", "Theorem 2", "Remark 3"}
    assert {job.dataset for job in jobs} == {"cifar10", "cifar100", "imagenet32"}
    assert {job.protocol for job in jobs} == {"sound", "paper", "artifact"}
    assert not any(job.reduced for job in jobs)
