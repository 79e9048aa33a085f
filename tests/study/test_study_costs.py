"""Costs before anything runs, by hand; and time left."""

from pathlib import Path

import pytest
from test_study_file import study

from robnas.models.sizes import sizes
from robnas.study import costs, dry_run, file, graph
from robnas.study.plan import PlannedJob
from robnas.study.progress import seconds_left, spoken


def job(kind="attack", argv=(), **more):
    return PlannedJob("a/darts/0/b", kind, list(argv), dataset="cifar10", model="darts", family="nas", **more)


def test_a_training_costs_three_passes_an_image_and_epoch():
    found = costs.cost(job("train", ["fit", "--config", "classify.yaml", "--model.network=resnet"])).flops
    assert found == pytest.approx(3 * 600 * 45_000 * sizes()["resnet"].flops)
    half = costs.cost(job("train", ["fit", "--config", "classify.yaml", "--trainer.max_epochs=2", "--data.members=0.5"])).flops
    assert half == pytest.approx(3 * 2 * 22_500 * sizes()["darts"].flops)
    adversarial = costs.cost(job("train", ["fit", "--config", "adversarial.yaml", "--trainer.max_epochs=2"])).flops
    assert adversarial == pytest.approx(3 * 2 * 45_000 * sizes()["darts"].flops * 8)


@pytest.mark.parametrize(
    ("argv", "queries"),
    [
        (["--config", "pgd/artifact.yaml"], 10_000 * (3 + 7)),
        (["--config", "nes.yaml", "--attacks.nes_most=null", "--attacks.nes_least=null", "--attacks.nes.max_inputs=10"], 10 * 20 * 400),
        (["--config", "square.yaml", "--attacks.square.n_queries=7"], 70_000),
        (["--config", "pgd/sweep_paper.yaml", "--attacks.sweep.attack.max_inputs=10"], 10 * 7 * 7 * 5),
        (["--attacks.x=noise", "--attacks.x.n_queries=3", "--attacks.x.max_inputs=5"], 15),
        (["--config", "membership/hopskipjump.yaml", "--attacks.membership_hopskipjump.steps=1"], 1000 * 2 * 125),
    ],
)
def test_queries_of_attacks_by_hand(argv, queries):
    found = costs.cost(job(argv=["attack", "{run}", *argv]))
    assert found.queries == queries
    assert costs.cost(job(argv=["attack", "{a}", "{b}", *argv])).queries == 2 * queries


def test_a_reduced_job_has_queries_alone():
    found = costs.cost(job(argv=["attack", "{run}", "--config", "pgd/artifact.yaml"], reduced=True))
    assert (found.flops, found.queries) == (None, 100_000)


def test_hours_are_those_of_jobs_that_are_done_in_the_folder():
    done = [job("train", state="done", seconds=s) for s in (1800.0, 5400.0)]
    assert costs.hours([job("train"), job("probe")], done) == (1.0, 1)


def test_the_shipped_table_knows_every_job_of_the_quickstart():
    shipped = graph.plan(file.read(file.find("quickstart.yaml")), "quickstart.yaml", Path("runs/quickstart"), "")
    hours, unknown = costs.hours(shipped.jobs)
    assert unknown == 0
    assert 0.1 < hours < 2 / 3  # within twenty minutes on two cores


def test_a_dry_run_says_what_is_there(monkeypatch):
    monkeypatch.setattr(costs, "_table", list)
    plan = graph.plan(study(), "some.yaml", Path("runs/some"), "")
    plan.jobs[2].exhibits, plan.jobs[3].exhibits = ["Fig. 10"], ["Fig. 2", "§4.1"]
    lines = dry_run.lines(plan, [], 0)
    text = "\n".join(lines)
    assert [line.split("  ")[1] for line in lines if line.startswith(("  §", "  Fig"))] == ["§4.1", "Fig. 2", "Fig. 10"]
    assert "size: 30 jobs (2 searches, 8 trainings, 16 attacks, 4 probes)" in text
    assert "all reduced" in text
    assert "FLOPs: not counted for reduced jobs" in text
    assert "no estimate" in text


def test_time_left_is_of_what_is_alike():
    jobs = [PlannedJob(f"train/darts/{i}/clean", "train", [], state="done", seconds=s) for i, s in enumerate((10.0, 30.0))]
    assert seconds_left(jobs, 2) == 0
    jobs += [PlannedJob(f"train/vgg/{i}/clean", "train", []) for i in range(4)]
    assert seconds_left(jobs, 2) == 4 * 20 / 2
    assert seconds_left(jobs[2:], 2) is None
    assert [spoken(s) for s in (41, 600, 7200, 4e5)] == ["41 s", "10 min", "2.0 h", "4.6 days"]
