"""From a study to commands: each one that a user could type, after what it needs."""

import re
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest
from test_study_file import study

from robnas.configuration import files
from robnas.report.paper import ORDER
from robnas.space import published
from robnas.study import cells, file, graph, layers
from robnas.study.plan import Plan
from robnas.study.queries import class_of

SHIPPED = cache(lambda name: graph.plan(file.read(files.studies()[name]), name, Path("runs/x"), "").jobs)
"""Name of a shipped study → its jobs."""


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


def test_a_plan_is_read_as_it_was_written(tmp_path):
    written = plan()
    written.write(tmp_path)
    assert Plan.read(tmp_path) == written
    assert Plan.read(tmp_path / "nowhere") is None


@pytest.mark.parametrize("name", sorted(files.studies()))
def test_commands_of_shipped_studies_name_what_there_is(name):
    jobs = SHIPPED(name)
    ids, known = {job.id for job in jobs}, {*files.shipped()}
    for job in jobs:
        assert {name for before, name in pairwise(job.argv) if before == "--config"} <= known
        assert {*re.findall(r"\{([^{} ]+)\}", " ".join(job.argv))} == {*job.needs} <= ids


MADE_BY = (
    {"Fig. 2": "pgd", "Fig. 3": "eps_sweep", "Fig. 4": "pgd", "Fig. 5": "nes", "Fig. 6": "label_flip", "Fig. 7": "trojannn"}
    | {
        "Fig. 8": "trojannn",
        "Fig. 9": "knockoff",
        "Fig. 10": "membership_hopskipjump",
        "Fig. 11": "contours",
        "Fig. 12": "gradient_variance",
    }
    | {"Fig. 14": "AdversarialClassifier", "Fig. 15": "Search", "Fig. 16": "knockoff", "Fig. 17": "label_flip", "Fig. 18": "cells"}
    | {"Table 1": "Classifier", "Table 2": "knockoff", "Table 3": "cells", "Table 4": "pgd", "Table 6": "pgd", "§2.1": "Search"}
    | {"§3.1": "SampledSearch", "§4.1": "convergence", "§5.2": "Classifier", "Theorem 1": "smoothness", "Theorem 2": "gradient_variance"}
    | {"Remark 3": "smoothness"}
)
"""Table, figure or section → a class that it cannot be measured without."""


@pytest.fixture
def paper():
    """Jobs of the paper's study about some networks, with their configurations."""
    some = [job for job in SHIPPED("paper.yaml") if job.model in ("darts", "resnet", "enas", "random", "found_darts", "enas_deeper", "")]
    return [(job, layers.merged(layers.asked(tuple(job.argv[1:])))) for job in some if job.seed in (0, 1228)]


def test_the_papers_study_has_every_exhibit_by_what_measures_it(paper):
    drawn = {name.replace("fig_", "Fig. ").replace("table_", "Table ").replace(" 0", " ") for name in ORDER}
    assert drawn <= set(MADE_BY)
    for exhibit, name in MADE_BY.items():
        there = [config for job, config in paper if exhibit in job.exhibits]
        blocks = [block for c in there for group in ("attacks", "probes") for block in (c.get(group) or {}).values()]
        named = {class_of(block) for block in [*blocks, *(c.get("model") for c in there)]}
        assert name in named, exhibit


def test_the_papers_study_asks_as_much_as_the_paper(paper):
    def values(exhibit, name):
        return {layers.said(config, name) for job, config in paper if exhibit in job.exhibits} - {None}

    assert values("Fig. 8", "attacks.trojannn.n_neurons") == {1, 2, 4, 8}
    assert values("Fig. 6", "attacks.label_flip.rate") == {0.1, 0.2, 0.3, 0.4}
    assert values("Fig. 9", "attacks.knockoff.budget") == {1000, 2000, 4000, 8000, 16000}
    assert {job.dataset for job in SHIPPED("paper.yaml")} == {"cifar10", "cifar100", "imagenet32"}
    assert {job.protocol for job in SHIPPED("paper.yaml")} == {"sound", "paper", "artifact"}
    assert not any(job.reduced for job in SHIPPED("paper.yaml"))
