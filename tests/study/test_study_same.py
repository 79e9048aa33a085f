"""Jobs that are one command are planned once; jobs that are none have ids of their own."""

from pathlib import Path

import pytest
from test_study_file import study

from robnas.configuration import files
from robnas.errors import UserError
from robnas.study import file, graph, same

ALONE = {"searches": {}, "probes": {}, "overlays": [], "flags": {}}


def plan(**changed):
    return {job.id: job for job in graph.plan(study(**ALONE | {"models": ["darts"]} | changed), "some.yaml", Path("runs/some"), "").jobs}


def test_two_names_of_one_network_are_one_training_and_one_attack():
    models = {"a": {"network": "darts", "flags": {"data.members": 0.5}}, "b": {"network": "darts", "flags": {"data.members": 0.5}}}
    attacks = {
        "pgd": {"config": "pgd.yaml", "models": ["b"], "exhibits": ["Fig. 2"]},
        "again": {"config": "pgd.yaml", "models": ["a"], "exhibits": ["Fig. 3"]},
        "both": {"config": "transfer.yaml", "together": True},
    }
    jobs = plan(models=models, trainings={"clean": "classify.yaml"}, attacks=attacks)
    assert list(jobs) == ["train/a/0/clean", "attack/b/0/pgd", "attack/all/0/both"]
    assert jobs["train/a/0/clean"].also == ["train/b/0/clean"]
    assert jobs["attack/b/0/pgd"].argv[1] == "{train/a/0/clean}"
    assert (jobs["attack/b/0/pgd"].also, jobs["attack/b/0/pgd"].exhibits) == (["attack/a/0/again"], ["Fig. 2", "Fig. 3"])
    assert jobs["attack/all/0/both"].argv[1:3] == ["{train/a/0/clean}", "--config"]


def test_two_names_of_one_search_are_one_search():
    searches = {"a": {"config": "darts.yaml", "exhibits": ["§2.1"]}, "b": {"config": "darts.yaml", "exhibits": ["Fig. 15"]}}
    jobs = plan(searches=searches, models={"own": {"search": "b"}}, trainings={"clean": "classify.yaml"}, attacks={})
    assert list(jobs) == ["search/a/0", "train/own/0/clean"]
    assert (jobs["search/a/0"].also, jobs["search/a/0"].exhibits) == (["search/b/0"], ["§2.1", "Fig. 15"])
    assert jobs["train/own/0/clean"].needs == ["search/a/0"]
    assert "--model.network={search/a/0}" in jobs["train/own/0/clean"].argv


BASE = ["fit", "--config", "trojannn.yaml", "--seed_everything=0"]


@pytest.mark.parametrize(
    ("first", "second", "one"),
    [
        (["--trainer.max_epochs=3", "--data.members=0.5"], ["--data.members=0.5", "--trainer.max_epochs=3"], True),
        (["--trainer.max_epochs=2", "--trainer.max_epochs=3"], ["--trainer.max_epochs=3"], True),
        (["--attacks.trojannn.n_neurons=2"], [], True),  # as the config has it
        (["--attacks.trojannn.n_neurons=2", "--scale=tiny"], ["--scale=tiny"], False),  # which the scale changes
        (["--attacks.trojannn.n_neurons=1"], [], False),
        (["--attacks.trojannn=badnets", "--attacks.trojannn.target=0"], ["--attacks.trojannn=badnets"], False),  # another's default
        (
            ["--attacks.trojannn.target=1", "--attacks.trojannn=badnets"],
            ["--attacks.trojannn=badnets", "--attacks.trojannn.target=1"],
            False,
        ),
        (["--seed_everything=1"], [], False),
    ],
)
def test_commands_are_one_where_they_do_the_same(first, second, one):
    assert (same.key([*BASE, *first]) == same.key([*BASE, *second])) is one


def test_quickstart_plans_a_theft_by_the_victims_own_architecture_once():
    jobs = graph.plan(file.read(files.studies()["quickstart.yaml"]), "", Path("runs/x"), "").jobs
    own = {job.id: job for job in jobs}["attack/darts/0/knockoff/budget=300"]
    assert (own.also, own.exhibits) == (["attack/darts/0/knockoff_across/network=darts"], ["Fig. 9", "Table 2"])
    assert sum(len(job.also) for job in jobs) == 4


def test_values_with_slashes_are_no_parts_of_ids():
    training = {"config": "adversarial.yaml", "vary": {"model.attack.init_args.eps": ["8/255", "8/128"]}}
    jobs = plan(trainings={"hard": training}, attacks={"pgd": "pgd.yaml"})
    assert {id for id in jobs if id.startswith("attack")} == {f"attack/darts/0/pgd/eps=8/{d}" for d in (128, 255)}
    assert jobs["attack/darts/0/pgd/eps=8/255"].needs == ["train/darts/0/hard/eps=8/255"]
    assert {job.block for job in jobs.values()} == {"hard", "pgd"}
    networks = {"config": "classify.yaml", "vary": {"model.network": ["d/a.yaml", "d/b.yaml"]}}
    assert len(plan(trainings={"clean": networks}, attacks={"pgd": "pgd.yaml"})) == 4


def test_different_jobs_of_one_id_are_said_with_the_file_and_the_cause():
    models = {"own": {"search": "found"}, "own-0": "darts"}
    changed = {"searches": {"found": {"config": "darts.yaml", "seeds": [0, 1]}}, "models": models}
    with pytest.raises(
        UserError, match=r"^some.yaml: two jobs are called train/own-0/0/clean, one with --model.network=\{search/found/0\}, one"
    ):
        plan(**changed)


def test_no_jobs_are_an_error_that_names_the_protocols():
    nothing = {"found": {"config": {"paper": "darts.yaml"}}}
    with pytest.raises(UserError, match=r"^some.yaml: there are no jobs: nothing has a config for sound"):
        plan(searches=nothing, trainings={}, attacks={}, models=[])
    with pytest.raises(UserError, match=r"models.own: its search found has no config for sound"):
        plan(searches=nothing, models={"own": {"search": "found"}}, attacks={})


def test_a_job_has_the_data_set_of_the_training_that_it_is_about():
    trainings = {"a": {"config": {"sound": "classify.yaml"}}, "b": {"config": {"paper": "classify/paper.yaml"}}}
    jobs = plan(protocols=["sound", "paper"], trainings=trainings, attacks={"pgd": {"config": "pgd.yaml", "of": ["a", "b"]}})
    assert jobs["attack/darts/0/pgd/b/paper"].dataset == "cifar10"


@pytest.mark.parametrize(
    ("section", "block", "reduced"),
    [
        ("attacks", {"config": "pgd.yaml", "flags": {"attacks.pgd.max_inputs": 3}}, True),
        ("attacks", {"config": "pgd.yaml", "flags": {"attacks.noise.max_inputs": 3000}}, False),  # more than the config's
        ("attacks", {"config": "pgd.yaml", "flags": {"attacks.pgd.steps": 2}}, True),
        ("searches", {"config": "darts.yaml", "flags": {"model.layers": 2, "model.init_channels": 4}}, True),
        ("trainings", {"config": "classify.yaml", "flags": {"model.options": {"layers": 3}}}, True),
        ("trainings", {"config": "classify.yaml", "flags": {"data.members": 0.5}}, False),  # what membership and stealing need
        ("trainings", {"config": "classify.yaml", "flags": {"trainer.max_epochs": 600}}, False),
        ("trainings", {"config": "classify.yaml", "flags": {"trainer.max_epochs": 599}}, True),
    ],
)
def test_less_than_the_configs_say_is_reduced(section, block, reduced):
    jobs = plan(data=["CIFAR10"], **{"trainings": {"clean": "classify.yaml"}, "attacks": {}} | {section: {"x": block}})
    assert [job.reduced for job in jobs.values() if job.block == "x"] == [reduced]


def test_data_of_a_smaller_setting_are_reduced():
    jobs = plan(data={"cifar10": {"flags": {"trainer.limit_train_batches": 0.1}}}, attacks={"pgd": "pgd.yaml"})
    assert {job.reduced for job in jobs.values()} == {True}
